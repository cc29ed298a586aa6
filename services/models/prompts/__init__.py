"""Prompts: the PromptRegistry, with their versions, labels, history and templates."""
