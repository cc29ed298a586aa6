"""To be described: services.models.health."""
