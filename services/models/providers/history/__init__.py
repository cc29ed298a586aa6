"""To be described: services.models.providers.history."""
