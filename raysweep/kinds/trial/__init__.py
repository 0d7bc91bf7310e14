"""Studies of trials of the user's own: a function or a command that trains."""
