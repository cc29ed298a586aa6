"""To be described: services.models.prompts."""
