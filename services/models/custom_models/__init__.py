"""Custom models: the ModelRegistry, with the rules for registrations and their names."""
