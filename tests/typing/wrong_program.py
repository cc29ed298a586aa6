"""A program that is wrong in each of its calls, as `mypy --strict` must say; it is never run."""

from __future__ import annotations

from genai_platform import GenAIPlatform

platform = GenAIPlatform()
platform.models.chat("Hi", model=3)  # E: "chat" of "Models" has incompatible type "int"
platform.models.chat("Hi", stop="x")  # E: Unexpected keyword argument "stop"
platform.models.get_model_status(name=3)  # E: "get_model_status" of "Models" has incompatible type "int"
platform.models.chat("Hi", model="m").txt  # E: "ChatResponse" has no attribute "txt"  # noqa: B018
