"""To be described: services.models.credentials."""
