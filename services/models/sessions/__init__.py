"""To be described: services.models.sessions."""
