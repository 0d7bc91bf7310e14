"""A study: its file, its checks, its parts, its cells."""
