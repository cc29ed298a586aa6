"""Canaries: a run of all three processes in which every secret and every text is a known word, and none is found where
it does not belong."""

from __future__ import annotations

import base64
import contextlib
import subprocess
import sys
import urllib.parse
from collections.abc import AsyncIterator, Iterator, Mapping
from pathlib import Path

import grpc
import pytest

from genai_platform import AsyncGenAIPlatform, ChatMessage, GenAIError
from proto import access_pb2, access_pb2_grpc
from proto.identity_pb2 import LimitRule
from services.gateway.access.access import MIGRATIONS
from services.gateway.access.first_key import add_admin_key
from services.gateway.access.settings import AccessSettings
from services.shared.database import Database
from tests.scripted_upstream import Received, Script, ScriptedUpstream, event, event_stream, json_answer
from tests.services.model_service import LOG, completion, piece, streamed_completion
from tests.support.processes import ROOT, Platform, environment, running_platform

VENDOR_KEY = "sk-canary-of-the-vendor-0123456789"
MODEL_KEY = "canary-of-the-registered-model-0123456789"
INTERNAL_KEY = "canary-of-the-internal-keys-0123456789ab"
WEBHOOK_KEY = "canary-of-the-webhook-0123456789"
WEBHOOK_PATH = "canary-in-the-path-of-the-webhook"

PROMPT = "canary-in-the-prompt"
SYSTEM = "canary-in-the-system-message"
ANSWER = "canary-in-the-answer"

# Where texts are kept because callers ask for it.
KEPT_TEXTS = ("sessions.db", "calls.db", "capture.db", "models.db")


def answer(request: Received) -> Script:
    """An answer by the word in the request: one that repeats all that it got, as bad servers do."""
    said = f"{request.headers} {request.body.decode(errors='replace')}"
    if request.path.endswith(WEBHOOK_PATH):
        # It is refused, so that the log tells of it.
        return json_answer({"error": said}, status=400)
    if request.method == "GET":
        return json_answer({"data": [{"id": "gpt-4o"}]})
    for word, status in (("refused", 400), ("unauthorized", 401), ("broken", 500), ("busy", 429)):
        if word in said:
            return json_answer({"error": {"message": said, "code": said}}, status=status)
    if "torn" in said:
        return event_stream(piece(ANSWER), event({"error": {"message": said}}))
    if request.json().get("stream"):
        return streamed_completion(piece(ANSWER))
    return json_answer(completion(ANSWER))


async def make_first_key(directory: Path) -> str:
    url = AccessSettings.model_validate({"GENAI_DATA_DIR": directory}).choose_access_database_url()
    database = await Database.open(url, MIGRATIONS, LOG)
    try:
        return (await add_admin_key(database, "first")).secret
    finally:
        await database.close()


@contextlib.contextmanager
def started(directory: Path, url: str) -> Iterator[Platform]:
    """The three processes with every secret in a file."""
    secrets = directory / "secrets"
    secrets.mkdir()
    values = {
        "vendor": VENDOR_KEY,
        "internal": INTERNAL_KEY,
        "model": MODEL_KEY,
        "webhook": WEBHOOK_KEY,
        "hook": f"{url}/{WEBHOOK_PATH}",
    }
    for name, value in values.items():
        (secrets / name).write_text(f"{value}\n")
        (secrets / name).chmod(0o600)
    settings = {
        "AUTH_MODE": "required",
        "OPENAI_API_KEY_FILE": str(secrets / "vendor"),
        "OPENAI_BASE_URL": f"{url}/v1",
        "GENAI_INTERNAL_KEYS_FILE": str(secrets / "internal"),
        "ALERT_WEBHOOK_URL_FILE": str(secrets / "hook"),
        "ALERT_WEBHOOK_KEY_FILE": str(secrets / "webhook"),
        "MODELS_CREDENTIALS_DIR": str(secrets),
        "GENAI_DATA_DIR": str(directory / "data"),
        "GENAI_LOG_LEVEL": "debug",
        "MODELS_ADMIN_PORT": "0",
    }
    with running_platform(directory, **settings) as platform:
        yield platform


async def warn_soon(address: str, api_key: str) -> None:
    """Sets a limit whose soft percent the first chat crosses, so that the webhook is told."""
    limit = LimitRule(scope_kind="org", resource="tokens", window="day", amount=100_000, soft_percents=[1])
    async with grpc.aio.insecure_channel(address) as channel:
        stub = access_pb2_grpc.AccessServiceStub(channel)
        await stub.SetLimit(access_pb2.SetLimitRequest(limit=limit), metadata=[("x-api-key", api_key)])


def said(text: str) -> list[ChatMessage]:
    return [ChatMessage(role="user", content=text)]


async def walk(client: AsyncGenAIPlatform, url: str) -> AsyncIterator[object]:
    """Calls of every kind; yields what callers get to see of them beside their own texts."""
    models = client.models
    registered = await models.register_model(
        name="mine",
        endpoint=f"{url}/v1",
        adapter_type="openai-compatible",
        health_check="/v1/models",
        credential={"file": "model"},
    )
    yield registered
    yield await models.list_registered_models()
    yield await models.get_model_status("mine")
    session = await client.sessions.create_session()
    for model in ("gpt-4o", "mine"):
        for word in ("fine", "refused", "unauthorized", "broken", "busy"):
            messages = [ChatMessage(role="system", content=SYSTEM), *said(f"{PROMPT} {word}")]
            with contextlib.suppress(GenAIError):
                await models.chat(model=model, messages=messages, request_id=f"{model}-{word}")
        for word in ("fine", "torn"):
            with contextlib.suppress(GenAIError):
                async for _ in models.chat_stream(model=model, messages=said(f"{PROMPT} {word}")):
                    pass
        await models.chat(model=model, messages=said(PROMPT), session_id=session.session_id)
    await models.register_prompt(name="greeting", content=SYSTEM)
    yield await models.list_prompts()
    yield [row async for row in client.usage.list()]
    yield await client.usage.mine()


async def problems_of(client: AsyncGenAIPlatform) -> list[str]:
    """What callers are told of failures, with all that comes beside it."""
    told = []
    for model in ("gpt-4o", "mine", MODEL_KEY[:10]):
        for word in ("refused", "unauthorized", "broken", "busy"):
            try:
                await client.models.chat(model=model, messages=said(f"x {word}"))
            except GenAIError as error:
                told.append(f"{error!r} {error} {vars(error)}")
    assert told
    return told


def forms(word: str) -> Iterator[bytes]:
    """A word as it may be written."""
    yield word.encode()
    yield urllib.parse.quote(word).encode()
    yield word.encode().hex().encode()
    for shift in range(3):
        # The characters in the middle are the same wherever the word begins.
        yield base64.b64encode(b"x" * shift + word.encode())[4:-8]


def assert_without(words: tuple[str, ...], outputs: Mapping[str, bytes]) -> None:
    found = [
        f"{word} in {name}"
        for name, output in outputs.items()
        for word in words
        if any(form in output for form in forms(word))
    ]
    assert not found


def logs_of(directory: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in directory.rglob("*") if path.is_file() and "log" in path.name}


def command_lines(platform: Platform) -> dict[str, bytes]:
    return {
        f"the arguments of {name}": Path(f"/proc/{service.pid}/cmdline").read_bytes()
        for name, service in platform.services.items()
    }


async def test_no_secret_and_no_text_is_found_where_it_does_not_belong(tmp_path: Path) -> None:
    data = tmp_path / "data"
    api_key = await make_first_key(data)
    async with ScriptedUpstream(default=answer) as upstream:
        with started(tmp_path, upstream.url) as platform:
            await warn_soon(platform.address, api_key)
            async with AsyncGenAIPlatform(platform.address, api_key=api_key) as client:
                shown = [str(seen).encode() async for seen in walk(client, upstream.url)]
                told = "\n".join(await problems_of(client)).encode()
                handled = repr(client).encode()
            outputs = {
                "what callers see": b"\n".join(shown),
                "what callers are told": told,
                "the client": handled,
                **command_lines(platform),
            }
        outputs |= logs_of(tmp_path)
        outputs |= {str(path): path.read_bytes() for path in data.rglob("*") if path.is_file()}
    used = str([request.headers for request in upstream.requests])
    assert VENDOR_KEY in used
    assert MODEL_KEY in used
    [alert] = [request for request in upstream.requests if request.path.endswith(WEBHOOK_PATH)]
    outputs["what the webhook is told"] = f"{alert.headers} {alert.body!r}".encode()
    assert "x-genai-signature" in alert.headers
    assert any(b"the webhook was not told" in output for output in outputs.values())
    secrets = (VENDOR_KEY, MODEL_KEY, INTERNAL_KEY, WEBHOOK_KEY, WEBHOOK_PATH, api_key, api_key.split("_")[2])
    assert_without(secrets, outputs)
    kept = tuple(str(data / name) for name in KEPT_TEXTS)
    others = {name: output for name, output in outputs.items() if not name.startswith((*kept, "what callers see"))}
    assert_without((PROMPT, SYSTEM, ANSWER), others)
    assert any(PROMPT.encode() in output for name, output in outputs.items() if "sessions.db" in name)


@pytest.mark.parametrize("name", ["models", "gateway", "sessions"])
def test_help_shows_no_secret_of_the_environment(name: str, tmp_path: Path) -> None:
    variables = environment(OPENAI_API_KEY=VENDOR_KEY, GENAI_INTERNAL_KEYS=INTERNAL_KEY)
    command = [sys.executable, "-m", f"services.{name}.main", "--help"]
    shown = subprocess.run(command, cwd=ROOT, env=variables, capture_output=True, check=True)
    assert_without((VENDOR_KEY, INTERNAL_KEY), {"out": shown.stdout, "err": shown.stderr})
