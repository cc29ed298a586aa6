"""To be described: services.models.storage."""
