"""What only AI85 has: keys become layers, layers get places, registers, weights and a program."""
