"""The pack step compiled for the CPU by Numba: one member at a time, its batch in cache."""
