"""The faces of the platform: dialects of other APIs, in which clients ask it over HTTP."""
