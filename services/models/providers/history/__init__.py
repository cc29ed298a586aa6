"""The rules of providers for earlier messages, applied before encoding."""
