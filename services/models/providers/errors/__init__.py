"""Errors of providers: what is recognised in their words, and what callers read."""
