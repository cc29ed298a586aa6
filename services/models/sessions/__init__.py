"""Sessions: a chat's turn, which reads the history and appends the answer."""
