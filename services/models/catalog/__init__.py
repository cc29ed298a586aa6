"""The catalog: the vendors' models, with what they take, cost and are replaced by, and what the vendors list."""
