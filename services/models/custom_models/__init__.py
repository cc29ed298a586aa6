"""To be described: services.models.custom_models."""
