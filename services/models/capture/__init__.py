"""Captured content: the texts of chats of projects that have asked for it, redacted, kept apart and for a while."""
