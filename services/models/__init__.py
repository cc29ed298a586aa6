"""The Model Service: one call to any language model, through rooms that know only those below them."""
