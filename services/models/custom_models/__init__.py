"""Custom models: the ModelRegistry, with the rules for what may be registered under which name."""
