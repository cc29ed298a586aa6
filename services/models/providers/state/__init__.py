"""To be described: services.models.providers.state."""
