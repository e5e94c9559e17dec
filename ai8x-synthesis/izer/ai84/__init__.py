"""What only AI84 has: keys become layers, layers get places, registers, kernels and a program."""
