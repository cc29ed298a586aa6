"""To be described: services.models.chat."""
