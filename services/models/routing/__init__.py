"""To be described: services.models.routing."""
