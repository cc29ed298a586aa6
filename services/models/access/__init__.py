"""Access: the trust in callers, and the bounds of credentials."""
