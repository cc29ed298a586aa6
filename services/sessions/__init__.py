"""The Session Service: conversations, the turn that runs in each, and the memory of users between them."""
