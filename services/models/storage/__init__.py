"""Storage: the tables of prompts and models, their migrations, and the order of a registry's writes."""
