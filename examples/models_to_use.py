"""Which model the examples talk to: a commercial one when its key is there, else a real small one on this machine."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from local_model import LocalModel

from genai_platform import DeregisterModelRequest, GenAIPlatform, ModelCapabilities, RegisterModelRequest
from genai_platform.environment import read_variable

LOCAL_NAME = "my-small-model"
PREFERRED = ("gpt-4o-mini", "gpt-4o", "claude-3-5-haiku", "claude-3-5-sonnet")


@contextmanager
def model_to_use(platform: GenAIPlatform) -> Iterator[str]:
    """Yields the name of a model that can be called: GENAI_MODEL, else a built-in one whose provider is configured,
    else a local one, which is started, registered as anybody's own model is, and taken back at the end."""
    chosen = read_variable("GENAI_MODEL") or _configured_model(platform)
    if chosen:
        print(f"  using {chosen}")
        yield chosen
        return
    print("  no API key is set, so a real small model is started on this machine …")
    with LocalModel() as local:
        print(f"  {local.model} is served by llama.cpp at {local.url}")
        response = platform.models.register_model(
            RegisterModelRequest(
                name=LOCAL_NAME,
                endpoint=local.url,
                adapter_type="openai-compatible",
                provider="llama.cpp on this machine",
                upstream_model=local.model,
                capabilities=ModelCapabilities(context_window=2048, supports_streaming=True),
            )
        )
        print(f"  registered as {response.model.name}; its first probe says: {response.model.status}")
        try:
            yield LOCAL_NAME
        finally:
            platform.models.deregister_model(DeregisterModelRequest(name=LOCAL_NAME))


def _configured_model(platform: GenAIPlatform) -> str | None:
    configured = {model.name for model in platform.models.list_models().models if model.configured}
    return next((name for name in PREFERRED if name in configured), None)
