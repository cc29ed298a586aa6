"""Errors of providers: how their causes are recognised, and what of them callers read."""
