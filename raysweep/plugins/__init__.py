"""What a study names: parts with options, and code of its user."""
