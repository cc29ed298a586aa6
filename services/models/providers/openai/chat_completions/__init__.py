"""OpenAI's Chat Completions, which vLLM and every OpenAI-compatible server speak too."""
