"""JSON Schemas fitted to the keywords that providers enforce."""
