"""The face of OpenAI's Chat Completions."""
