"""Storage: the tables of prompts and models, and the order of a registry's writes."""
