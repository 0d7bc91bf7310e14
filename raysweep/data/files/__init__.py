"""Files of the user's own: named arrays or columns, read one by one; none of their code runs."""
