"""Errors of providers: how their causes are recognised, and which of their messages callers may read."""
