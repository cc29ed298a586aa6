"""The Python of the README, run from the first block to the last against the real services."""

from __future__ import annotations

import contextlib
import re
from collections.abc import AsyncIterator
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

README = Path(genai_platform.__file__).parents[1] / "README.md"
BLOCK = re.compile(r"```python\n(.*?)```", re.DOTALL)

OWN_MODEL = "http://localhost:8000/v1"
JSON_ANSWERS = {
    "Person": '{"name": "Ada Lovelace", "born": 1815}',
    "response": '{"value": [{"name": "Grace Hopper", "born": 1906}]}',
}


def answer(request: Received) -> Script:
    """An answer in the request's dialect: JSON where it asks for it, else some text."""
    if request.method == "GET":
        return json_answer({"data": [{"id": "my-llama-70b"}]})
    asked = request.json().get("response_format", {}).get("json_schema")
    return json_answer(completion(JSON_ANSWERS[asked["name"]])) if asked else answered_in_any_dialect(request)


class Served(NamedTuple):
    address: str
    own_model: str


@contextlib.asynccontextmanager
async def serving(directory: Path) -> AsyncIterator[Served]:
    async with (
        ScriptedUpstream(default=answer) as upstream,
        served(f"sqlite:///{directory / 'sessions.db'}") as sessions,
        model_service(directory, upstream, SESSIONS_ADDRESS=sessions.address) as models,
        gateway(models.address, sessions.address) as front,
    ):
        yield Served(front.address, f"{upstream.url}/v1")


def blocks(first: str, last: str) -> list[str]:
    """The blocks of Python from one heading to another."""
    text = README.read_text(encoding="utf-8")
    return BLOCK.findall(text[text.index(f"\n## {first}\n") : text.index(f"\n## {last}\n")])


def test_every_block_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("cat.png").write_bytes(b"\x89PNG")
    Path("manual.txt").write_text("Turn it off first.")
    names: dict[str, Any] = {"__name__": "readme"}
    with in_thread(serving(tmp_path)) as places:
        monkeypatch.setenv("GENAI_GATEWAY_URL", places.address)
        for block in blocks("Chat", "Settings"):
            exec(compile(block.replace(OWN_MODEL, places.own_model), str(README), "exec", dont_inherit=True), names)
        names["platform"].close()
    assert names["parsed"].value.born == 1815
    assert names["people"][0].name == "Grace Hopper"
    assert len(names["results"]) == 3
    assert Path("november.csv").exists()


def test_every_other_block_can_be_read() -> None:
    for block in BLOCK.findall(README.read_text(encoding="utf-8")):
        compile(block, str(README), "exec", dont_inherit=True)
