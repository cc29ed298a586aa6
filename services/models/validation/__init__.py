"""Validation of requests before anything is sent: all problems at once, each with its field's path."""
