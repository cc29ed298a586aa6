"""Storage: the tables of prompts and models, and the stored form of messages."""
