"""Emitters: they print a program as files and decide nothing."""
