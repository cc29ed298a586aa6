"""JSON Schemas fitted to what providers enforce."""
