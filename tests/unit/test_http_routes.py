"""The routes of the HTTP port: each path that a client writes leads where it means, also with a wrong base URL."""

from __future__ import annotations

from services.models.http_port.routes import Operation, route_of
from tests.rows import for_each

PATHS: dict[str, Operation | None] = {
    "/": "probe",
    "/v1": "probe",
    "/v1/chat/completions": "chat_completions",
    "/chat/completions": "chat_completions",
    "/v1/v1/messages": "messages",
    "/v1/messages/": "messages",
    "/messages": "messages",
    "/v1/messages/count_tokens": "count_tokens",
    "/v1/responses": "responses",
    "/v1/responses/input_tokens": "input_tokens",
    "/openai/v1/responses": "responses",
    "/v1/embeddings": "embeddings",
    "/v1/models": "models",
    "/v1/responses/resp_1": None,
    "/v1/completions": None,
    "/v1/models/": "models",
    "/etc/passwd": None,
    "/v1chat/completions": None,
}


@for_each(("path", "operation"), PATHS.items(), ids=str)
def test_path(path: str, operation: Operation | None) -> None:
    assert route_of(path).operation == operation


@for_each(
    ("path", "operation", "name"),
    [
        ("/openai/deployments/gpt-5.6/chat/completions", "chat_completions", "gpt-5.6"),
        ("/openai/deployments/a%2Fb/embeddings", "embeddings", "a/b"),
        ("/v1/models/openai%2Fgpt-5.6", "model", "openai/gpt-5.6"),
        ("/v1/models/openai/gpt-5.6", "model", "openai/gpt-5.6"),
    ],
    ids=str,
)
def test_path_with_a_model(path: str, operation: Operation, name: str) -> None:
    route = route_of(path)
    assert (route.operation, route.name) == (operation, name)


def test_unknown_path_is_refused_in_the_dialect_of_its_beginning() -> None:
    assert route_of("/v1/messages/batches").dialect == "anthropic"
    assert route_of("/v1/files").dialect == "openai"
