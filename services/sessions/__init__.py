"""The Session Service: conversations, whose turn it is in them, and what is remembered between them."""
