"""The rules of a history: what providers demand of earlier messages, applied before encoding."""
