"""Alignment between models: layers of many models, all pairs at once.

What depends on one model alone is found once and kept on disk: neighbours as sets, and matrices
over pairs of rows as vectors of length 1. A pair of models, and each permutation of its rows, is
then a count or a product.
"""
