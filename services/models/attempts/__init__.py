"""Attempts: the targets that a chat is sent to, one after the other, until one answers."""
