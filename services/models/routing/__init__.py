"""Routing: from the name in a request to the target of the call, and the list of all models."""
