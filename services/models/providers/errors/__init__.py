"""To be described: services.models.providers.errors."""
