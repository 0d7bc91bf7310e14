"""Trials: their names, rows, columns, packs, and the table of them."""
