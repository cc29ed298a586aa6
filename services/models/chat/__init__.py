"""Chats: prompt, checks, target, session, dialect, exchange and end, in this order, for all three calls."""
