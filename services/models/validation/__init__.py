"""To be described: services.models.validation."""
