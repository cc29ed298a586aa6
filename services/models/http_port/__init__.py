"""The HTTP port of the Model Service, on which clients of other APIs ask it."""
