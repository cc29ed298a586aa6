"""OpenAI's Responses: reasoning kept from turn to turn, reasoning beside tools, OpenAI's own tools."""
