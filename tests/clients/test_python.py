"""Clients in Python: the vendors' SDKs, and frameworks that are built on them, with models of either vendor."""

from __future__ import annotations

import json

import pytest

from tests.clients.conftest import ANTHROPIC_MODEL, LOCAL_MODEL, OPENAI_MODEL, PAID, PYTHON, Clients
from tests.clients.turns import ENCRYPTED, PROMPT_TOKENS, SIGNATURE, Call, Turn, said
from tests.scripted_upstream import answer

EITHER = pytest.mark.parametrize("model", [ANTHROPIC_MODEL, OPENAI_MODEL])
VALUE = {"city": "Oslo", "rains": True}


@EITHER
@pytest.mark.parametrize(
    "work",
    [
        "openai_chat",
        "openai_responses",
        "anthropic_messages",
        "langchain_openai",
        "langchain_responses",
        "langchain_anthropic",
        "pydantic_ai_openai",
        "pydantic_ai_responses",
        "pydantic_ai_anthropic",
        "openai_agents_responses",
        "openai_agents_chat",
        "litellm_openai",
        "litellm_anthropic",
    ],
)
async def test_client_calls_a_tool(clients: Clients, work: str, model: str) -> None:
    call = Call("weather", {"city": "Oslo"})
    clients.upstream.play(*said(Turn("I look.", [call], thought="Where is it?"), Turn("It rains.")))

    ended = await clients.python("python_sdks", work, model)

    assert ended["text"] == "It rains."
    assert ended.get("model", model) == model
    assert ended.get("tokens", PROMPT_TOKENS) == PROMPT_TOKENS
    assert len(clients.requests) == 2
    assert b"rain in Oslo" in clients.requests[1].body
    if work in ("openai_responses", "anthropic_messages", "langchain_responses"):
        assert (SIGNATURE if model == ANTHROPIC_MODEL else ENCRYPTED).encode() in clients.requests[1].body


@EITHER
async def test_openai_parses_values(clients: Clients, model: str) -> None:
    clients.upstream.play(*said(Turn(json.dumps(VALUE)), Turn(json.dumps(VALUE))))
    assert await clients.python("python_sdks", "openai_parsed", model) == [VALUE, VALUE]
    assert len(clients.requests) == 2


@EITHER
@pytest.mark.parametrize("work", ["openai_image", "anthropic_image"])
async def test_sdk_shows_an_image(clients: Clients, work: str, model: str) -> None:
    clients.upstream.play(*said(Turn("A pixel.")))
    assert await clients.python("python_sdks", work, model) == {"text": "A pixel.", "model": model}
    assert b"iVBORw0KGgo" in clients.requests[0].body


@EITHER
async def test_anthropic_counts_tokens(clients: Clients, model: str) -> None:
    clients.upstream.default = answer(b'{"input_tokens":77}', headers={"Content-Type": "application/json"})
    assert await clients.python("python_sdks", "anthropic_counted", model) == 77


@EITHER
async def test_sdk_does_not_ask_again_for_what_may_be_paid(clients: Clients, model: str) -> None:
    clients.upstream.default = PAID
    assert await clients.python("python_sdks", "refused", model) == [502] * 5
    assert len(clients.requests) == 5


LLM_MODELS = """
- model_id: gateway
  model_name: {model}
  api_base: {url}/v1
"""


@pytest.mark.parametrize("model", [ANTHROPIC_MODEL, OPENAI_MODEL, LOCAL_MODEL])
async def test_llm_prompts(clients_of_local_model: Clients, model: str) -> None:
    clients = clients_of_local_model
    clients.upstream.play(*said(Turn("It rains.")))
    (clients.home / "extra-openai-models.yaml").write_text(LLM_MODELS.format(model=model, url=clients.url))
    command = [PYTHON.with_name("llm"), "-m", "gateway", "-o", "max_tokens", "16", "What is the weather in Oslo?"]
    ended = await clients.run(command, {"LLM_USER_PATH": str(clients.home), "OPENAI_API_KEY": "sk-any"})
    assert ended.code == 0, ended
    assert ended.out.strip() == "It rains." if model != LOCAL_MODEL else ended.out.strip()
