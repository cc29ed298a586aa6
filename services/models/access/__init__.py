"""Access: which callers are trusted, and which secrets may be sent where."""
