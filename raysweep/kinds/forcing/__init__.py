"""Forcing studies: encoders trained together, with and without an alignment loss."""
