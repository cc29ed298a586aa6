"""Canaries: runs of all processes and commands in which every secret and every text is a known word, and none is found
where it does not belong."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import os
import signal
import sys
import urllib.parse
from asyncio.subprocess import PIPE
from collections.abc import AsyncIterator, Iterator, Mapping
from pathlib import Path

import grpc
import pytest
from click.testing import CliRunner

from genai_platform import AsyncGenAIPlatform, ChatMessage, GenAIError
from genai_platform.cli import commands
from proto import access_pb2, access_pb2_grpc
from proto.identity_pb2 import LimitRule
from services.access.access import MIGRATIONS
from services.access.first_key import add_admin_key
from services.access.settings import AccessSettings
from services.shared.database import Database
from tests.scripted_upstream import Received, Script, ScriptedUpstream, event, event_stream, json_answer
from tests.services.model_service import LOG, completion, piece, streamed_completion
from tests.support.admin import get, port_of
from tests.support.otlp import collecting
from tests.support.processes import Platform, Process, environment, run, running_platform

GENAI = ("-c", "from genai_platform.cli import main; main()")

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
    if "endless" in said:
        return event_stream(piece(ANSWER), asyncio.Event())
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


def secret_files(directory: Path, url: str) -> dict[str, str]:
    """The settings of a run with every secret in a file."""
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
    return {
        "AUTH_MODE": "required",
        "OPENAI_API_KEY_FILE": str(secrets / "vendor"),
        "OPENAI_BASE_URL": f"{url}/v1",
        "GENAI_INTERNAL_KEYS_FILE": str(secrets / "internal"),
        "ALERT_WEBHOOK_URL_FILE": str(secrets / "hook"),
        "ALERT_WEBHOOK_KEY_FILE": str(secrets / "webhook"),
        "MODELS_CREDENTIALS_DIR": str(secrets),
        "GENAI_DATA_DIR": str(directory / "data"),
        "GENAI_LOG_LEVEL": "debug",
        **{f"{name}_ADMIN_PORT": "0" for name in ("GATEWAY", "MODELS", "SESSIONS")},
        "OTEL_TRACES_SAMPLER": "always_on",
        "OTEL_BSP_SCHEDULE_DELAY": "100",
    }


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


def run_commands(directory: Path, platform: Platform, settings: Mapping[str, str]) -> dict[str, bytes]:
    """What the commands of an operator and of a caller say, in good and in bad cases; in this process, which takes a
    tenth of the time of their own ones."""
    unset: dict[str, str | None] = {name: None for name in os.environ if name.startswith(("GENAI_", "ACCESS_"))}
    addresses = {f"{name.upper()}_ADDRESS": service.address for name, service in platform.services.items()}
    own = unset | addresses | settings | {"GENAI_GATEWAY_URL": platform.address}
    lines = [
        ("doctor",),
        ("health",),
        ("me",),
        ("chat", "x fine", "--model", "gpt-4o"),
        ("chat", "x refused", "--model", "mine"),
        ("chat", "x broken", "--model", "gpt-4o", "--usage"),
        ("models", "registered", "-o", "json"),
        ("usage", "calls"),
        ("usage", "mine", "-o", "json"),
        ("audit", "list", "-o", "jsonl"),
        ("backup", str(directory / "backup.tar")),
    ]
    outputs = {}
    for line in lines:
        ended = CliRunner().invoke(commands.genai, line, env=own)
        assert ended.exception is None or isinstance(ended.exception, SystemExit)
        outputs[f"genai {' '.join(line)}"] = ended.output.encode()
    assert b"openai lists its models" in outputs["genai doctor"]
    assert ANSWER.encode() in outputs["genai chat x fine --model gpt-4o"]
    return outputs


def admin_pages(platform: Platform) -> dict[str, bytes]:
    """All pages of all admin ports."""
    return {
        f"{path} of {name}": get(port_of(service), path).text.encode()
        for name, service in platform.services.items()
        for path in ("/metrics", "/livez", "/readyz")
    }


async def damage_the_ledger(platform: Platform, client: AsyncGenAIPlatform, directory: Path) -> Path:
    """Kills the Model Service in the middle of an answer, damages the file of its ledger, and starts the next process.
    Returns the file that is kept."""
    stream = client.models.chat_stream(model="gpt-4o", messages=said(f"{PROMPT} endless"))
    await anext(aiter(stream))
    await asyncio.to_thread(platform.services["models"].kill)
    [file] = directory.glob("*.log")
    data = bytearray(file.read_bytes())
    data[-1] ^= 1
    file.write_bytes(data)
    service = await asyncio.to_thread(platform.start, "models")
    service.send(signal.SIGTERM)
    await service.end()
    return file.with_suffix(".damaged")


async def test_no_secret_and_no_text_is_found_where_it_does_not_belong(tmp_path: Path) -> None:
    data = tmp_path / "data"
    api_key = await make_first_key(data)
    async with ScriptedUpstream(default=answer) as upstream, collecting() as collector:
        settings = secret_files(tmp_path, upstream.url) | {"OTEL_EXPORTER_OTLP_ENDPOINT": collector.endpoint}
        settings["GENAI_API_KEY_FILE"] = str(tmp_path / "secrets" / "key")
        Path(settings["GENAI_API_KEY_FILE"]).write_text(api_key)
        with running_platform(tmp_path, **settings) as platform:
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
                    **await asyncio.to_thread(run_commands, tmp_path, platform, settings),
                    **await asyncio.to_thread(admin_pages, platform),
                }
                await collector.received("chat mine")
                damaged = await damage_the_ledger(platform, client, data / "usage")
        outputs |= logs_of(tmp_path)
        outputs |= {str(path): path.read_bytes() for path in data.rglob("*") if path.is_file()}
        outputs |= {"the backup": (tmp_path / "backup.tar").read_bytes(), "the spans": collector.raw}
    assert b"gpt-4o" in outputs[str(damaged)]
    assert b"gpt-4o" in outputs["/metrics of models"]
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
    with_texts = (*kept, "what callers see", "the backup", "genai chat")
    others = {name: output for name, output in outputs.items() if not name.startswith(with_texts)}
    assert_without((PROMPT, SYSTEM, ANSWER), others)
    assert any(PROMPT.encode() in output for name, output in outputs.items() if "sessions.db" in name)


async def test_serve_and_its_children_tell_no_secret(tmp_path: Path) -> None:
    """Also where the secrets are in the environment itself."""
    async with ScriptedUpstream(default=answer) as upstream:
        settings = {
            "OPENAI_API_KEY": VENDOR_KEY,
            "OPENAI_BASE_URL": f"{upstream.url}/v1",
            "GENAI_INTERNAL_KEYS": INTERNAL_KEY,
            "ALERT_WEBHOOK_KEY": WEBHOOK_KEY,
            "ALERT_WEBHOOK_URL": f"{upstream.url}/{WEBHOOK_PATH}",
            "GENAI_DATA_DIR": str(tmp_path / "data"),
            "GENAI_LOG_LEVEL": "debug",
            "MODELS_DISCOVERY": "off",
            **{f"{name}_PORT": "0" for name in ("GATEWAY", "MODELS", "SESSIONS")},
        }
        serve = Process.spawn([*GENAI, "serve"], environment(**settings), tmp_path / "serve.log", directory=tmp_path)
        try:
            lines = [await asyncio.to_thread(serve.read_line) for _ in range(3)]
            address = lines[-1].partition("listening on ")[2].split(",")[0]
            for text in (f"{PROMPT} fine", f"{PROMPT} unauthorized"):
                chat = await asyncio.create_subprocess_exec(
                    *(sys.executable, *GENAI, "chat", text, "--model", "gpt-4o"),
                    env=environment(**settings, GENAI_GATEWAY_URL=address),
                    stdout=PIPE,
                    stderr=PIPE,
                )
                lines += [part.decode() for part in await chat.communicate()]
            arguments = {
                f"the arguments of {path.parent.name}": path.read_bytes()
                for path in Path("/proc").glob("[0-9]*/cmdline")
                if str(os.getpgid(int(path.parent.name))) == str(serve.pid)
            }
            assert len(arguments) == 4
            serve.send(signal.SIGTERM)
            assert await serve.end() == 0
        finally:
            serve.close()
    secrets = (VENDOR_KEY, INTERNAL_KEY, WEBHOOK_KEY, WEBHOOK_PATH)
    assert ANSWER in lines[3]
    assert "Traceback" not in "".join(lines)
    assert_without(secrets, {"output": "\n".join(lines).encode(), "log": serve.log().encode(), **arguments})
    assert_without((PROMPT, ANSWER), {"log": serve.log().encode()})


@pytest.mark.parametrize("name", ["models", "gateway", "sessions"])
def test_help_shows_no_secret_of_the_environment(name: str, tmp_path: Path) -> None:
    shown = run(name, tmp_path, "--help", OPENAI_API_KEY=VENDOR_KEY, GENAI_INTERNAL_KEYS=INTERNAL_KEY)
    assert shown.code == 0
    assert_without((VENDOR_KEY, INTERNAL_KEY), {"out": shown.output.encode(), "err": shown.log.encode()})
