"""The paths of the port, as clients write them."""

from __future__ import annotations

import re
from typing import Literal, NamedTuple
from urllib.parse import unquote

Operation = Literal[
    "probe",
    "chat_completions",
    "responses",
    "messages",
    "count_tokens",
    "input_tokens",
    "embeddings",
    "models",
    "model",
]
Dialect = Literal["openai", "anthropic"]


class Route(NamedTuple):
    """The way of a request: the operation that answers it."""

    operation: Operation | None
    """None where nothing is served."""
    dialect: Dialect
    """The dialect of errors."""
    methods: tuple[str, ...] = ("POST",)
    name: str = ""
    """The model that the path names."""


# Anthropic's clients append `/v1/messages` to their base URL and OpenAI's `/chat/completions` to one that ends in
# `/v1`; a base URL with one `/v1` too few or too many is what people most often get wrong.
_VERSION = re.compile(r"(?:/v1)*(?=/)")
# What OpenAI's client for Azure writes, where the model's name is that of a deployment.
_AZURE = re.compile(r"/openai(?:/deployments/(?P<model>[^/]+))?(?:/v1)*(?=/)")

_PATHS: dict[str, Route] = {
    "/chat/completions": Route("chat_completions", "openai"),
    "/responses": Route("responses", "openai"),
    "/responses/input_tokens": Route("input_tokens", "openai"),
    "/embeddings": Route("embeddings", "openai"),
    "/messages": Route("messages", "anthropic"),
    "/messages/count_tokens": Route("count_tokens", "anthropic"),
    "/models": Route("models", "openai", ("GET", "HEAD")),
}
_PROBE = Route("probe", "openai", ("GET", "HEAD"))


def route_of(raw_path: str) -> Route:
    """The route of a path as it was sent, with its escapes: the name of a model may have a slash, sent as `%2F`."""
    if raw_path in ("/", "", "/v1", "/v1/"):
        return _PROBE
    azure = _AZURE.match(raw_path)
    prefix = azure or _VERSION.match(raw_path)
    path = raw_path[prefix.end() if prefix else 0 :]
    name = unquote(azure["model"]) if azure and azure["model"] else ""
    known = _PATHS.get(path.rstrip("/"))
    if known:
        return known._replace(name=name) if name else known
    if path.startswith("/models/") and len(path) > len("/models/"):
        return Route("model", "openai", ("GET", "HEAD"), unquote(path[len("/models/") :]))
    return Route(None, "anthropic" if path.startswith("/messages") else "openai")
