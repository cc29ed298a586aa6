"""To be described: services.models.providers.schemas."""
