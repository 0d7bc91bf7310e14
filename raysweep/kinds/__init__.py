"""The kinds of study: a folder each, and what they have in common."""
