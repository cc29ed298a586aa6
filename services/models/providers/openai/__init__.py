"""To be described: services.models.providers.openai."""
