"""To be described: services.models.catalog."""
