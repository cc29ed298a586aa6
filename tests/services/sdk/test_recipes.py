"""The programs of docs/recipes.md, each run whole and alone against the real services."""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

import genai_platform
from tests.scripted_upstream import Received, Script, ScriptedUpstream, json_answer
from tests.services.gateway.gateways import gateway
from tests.services.in_thread import in_thread
from tests.services.model_service import completion, model_service
from tests.services.session_service import served
from tests.services.vendor_answers import answered_in_any_dialect

RECIPES = Path(genai_platform.__file__).parents[1] / "docs" / "recipes.md"
RECIPE = re.compile(r"^## (.+?)\n.*?```python\n(.*?)```", re.DOTALL | re.MULTILINE)
PROGRAMS = dict(RECIPE.findall(RECIPES.read_text(encoding="utf-8")))

OWN_MODEL = "http://localhost:8000/v1"
ORDER = {
    "customer": "Ada Lovelace",
    "items": [{"name": "bell", "amount": 2}, {"name": "lamp", "amount": 1}],
    "delivery": "pickup",
    "note": None,
}
CALLS = [("weather", '{"city": "Oslo"}'), ("population", '{"city": "Atlantis"}')]


def tool_calls() -> dict[str, Any]:
    """An answer that calls both tools, one of them for a city that it does not know."""
    calls = [
        {"id": f"call_{name}", "type": "function", "function": {"name": name, "arguments": arguments}}
        for name, arguments in CALLS
    ]
    answer = completion("", tool_calls=calls)
    answer["choices"][0]["finish_reason"] = "tool_calls"
    return answer


def answer(request: Received) -> Script:
    """What a model answers to the programs' requests."""
    if request.method == "GET":
        return json_answer({"data": [{"id": "my-llama-70b"}]})
    body = request.json()
    if body.get("response_format"):
        return json_answer(completion(json.dumps(ORDER)))
    if body.get("tools") and body["messages"][-1]["role"] == "user":
        return json_answer(tool_calls())
    return answered_in_any_dialect(request)


class Served(NamedTuple):
    address: str
    upstream: ScriptedUpstream


@contextlib.asynccontextmanager
async def serving(directory: Path) -> AsyncIterator[Served]:
    async with (
        ScriptedUpstream(default=answer) as upstream,
        served(f"sqlite:///{directory / 'sessions.db'}") as sessions,
        model_service(directory, upstream, SESSIONS_ADDRESS=sessions.address) as models,
        gateway(models.address, sessions.address) as front,
    ):
        yield Served(front.address, upstream)


@pytest.fixture
def platform(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Served]:
    monkeypatch.chdir(tmp_path)
    with in_thread(serving(tmp_path)) as places:
        monkeypatch.setenv("GENAI_GATEWAY_URL", places.address)
        yield places


def run(title: str, upstream: ScriptedUpstream) -> dict[str, Any]:
    """Runs a program of the page, and gives its names."""
    names: dict[str, Any] = {"__name__": "recipe"}
    program = PROGRAMS[title].replace(OWN_MODEL, f"{upstream.url}/v1")
    exec(compile(program, str(RECIPES), "exec", dont_inherit=True), names)
    return names


def chats(upstream: ScriptedUpstream) -> list[Any]:
    return [request.json() for request in upstream.requests if request.method == "POST"]


def test_many_prompts_are_asked_once(platform: Served) -> None:
    Path("questions.txt").write_text("Who?\nWhere?\nWhen?\n")
    for _ in range(2):
        results = run("Many prompts", platform.upstream)["results"]
        assert len(results) == 3
        assert not results.failures
        assert Path("answers.csv").read_text().splitlines() == ["Who?,Hi.", "Where?,Hi.", "When?,Hi."]
    assert len(chats(platform.upstream)) == 3


def test_text_becomes_data(platform: Served) -> None:
    order = run("Text to data", platform.upstream)["order"]
    assert (order.customer, order.items[1].name, order.delivery, order.note) == ("Ada Lovelace", "lamp", "pickup", None)


def test_tools_are_called_until_there_is_an_answer(platform: Served) -> None:
    names = run("A loop of tools", platform.upstream)
    assert names["answer"].text == "Hi."
    first, second = chats(platform.upstream)
    assert [tool["function"]["name"] for tool in first["tools"]] == ["weather", "population"]
    assert [message["content"] for message in second["messages"][-2:]] == ["2 °C, rain", "failed: KeyError('Atlantis')"]


def test_images_are_sent(platform: Served) -> None:
    Path("cat.png").write_bytes(b"\x89PNG")
    assert run("Images", platform.upstream)["answer"].text == "Hi."
    [body] = chats(platform.upstream)
    assert json.dumps(body).count("image") >= 2
    assert "https://example.com/cat.jpg" in json.dumps(body)


def test_own_server_answers(platform: Served) -> None:
    names = run("A server of your own", platform.upstream)
    assert names["status"].status == "healthy"
    assert [attempt.model for attempt in names["answer"].attempts] == ["my-llama-70b"]


def test_every_recipe_has_its_test() -> None:
    assert list(PROGRAMS) == ["Many prompts", "Text to data", "A loop of tools", "Images", "A server of your own"]
    assert RECIPES.read_text(encoding="utf-8").count("```python") == len(PROGRAMS)
