"""To be described: services.models.transport."""
