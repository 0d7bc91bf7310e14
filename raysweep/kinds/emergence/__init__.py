"""Emergence studies: encoders trained without partners, aligned afterwards."""
