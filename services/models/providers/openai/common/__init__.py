"""Parts that OpenAI's two dialects share."""
