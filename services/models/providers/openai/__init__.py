"""OpenAI's two dialects, what they share, and the choice between them."""
