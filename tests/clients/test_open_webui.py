"""Open WebUI's requests as it sends them: it lists the models, and streams chats with members of its own."""

from __future__ import annotations

import json

import httpx
import pytest

from tests.clients.conftest import ANTHROPIC_MODEL, OPENAI_MODEL, Clients
from tests.clients.turns import Turn, said

HEADERS = {"authorization": "Bearer sk-any", "X-OpenWebUI-User-Name": "Ann", "X-OpenWebUI-Chat-Id": "1"}


@pytest.mark.parametrize("model", [ANTHROPIC_MODEL, OPENAI_MODEL])
async def test_chat(clients: Clients, model: str) -> None:
    body = {
        "model": model,
        "stream": True,
        "stream_options": {"include_usage": True},
        "messages": [
            {"role": "system", "content": "Be short."},
            {
                "role": "user",
                "content": [{"type": "text", "text": "Hello", "cache_control": {"type": "ephemeral"}}],
            },
        ],
    }
    clients.upstream.play(*said(Turn("Good morning.")))
    async with httpx.AsyncClient(base_url=f"{clients.url}/v1", headers=HEADERS, trust_env=False, timeout=20) as client:
        listed = (await client.get("/models")).json()["data"]
        response = await client.post("/chat/completions", json=body)
    assert model in [each["id"] for each in listed]
    lines = [line[6:] for line in response.text.splitlines() if line.startswith("data: ")]
    assert lines.pop() == "[DONE]"
    chunks = [json.loads(line) for line in lines]
    texts = [choice["delta"].get("content") or "" for chunk in chunks for choice in chunk["choices"]]
    assert "".join(texts) == "Good morning."
    assert chunks[-1]["usage"]["total_tokens"] == 1290
    assert {chunk["model"] for chunk in chunks} == {model}
    assert len(clients.requests) == 1


async def test_reasoning_as_it_asks_for_it(clients: Clients) -> None:
    clients.upstream.play(*said(Turn("Good morning.")))
    body = {"model": ANTHROPIC_MODEL, "reasoning": {"effort": "low"}, "messages": [{"role": "user", "content": "Hi"}]}
    async with httpx.AsyncClient(base_url=f"{clients.url}/v1", headers=HEADERS, trust_env=False, timeout=20) as client:
        response = await client.post("/chat/completions", json=body)
    assert response.json()["choices"][0]["message"]["content"] == "Good morning."
    assert "thinking" in clients.requests[0].json()
