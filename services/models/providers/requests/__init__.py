"""What all dialects share in writing a request: media, parameters, options, and what its caller must be told."""
