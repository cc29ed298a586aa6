"""Anthropic's Messages, spoken by Anthropic and by servers that offer /v1/messages."""
