"""Placement that is computed: what a description leaves open is filled in, as well as it can be."""
