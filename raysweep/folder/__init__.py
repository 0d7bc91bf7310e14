"""A run's folder: whose it is, what is in it, what it says."""
