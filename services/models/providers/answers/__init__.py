"""To be described: services.models.providers.answers."""
