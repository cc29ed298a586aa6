"""The API key of a client: where it is from, that it is sent, and that it is shown nowhere."""

from __future__ import annotations

import asyncio
import pickle
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from genai_platform import AsyncGenAIPlatform, GenAIPlatform, PermissionDenied, Unauthenticated
from genai_platform.calls import CallRules
from genai_platform.channel import MODEL_SERVICE
from genai_platform.target import GatewayTarget, parse_target
from proto.models_pb2 import ListModelsRequest
from tests.rows import for_each, row
from tests.services.access.gateways import Front, front

FORM = "gk_CANARYCANARY_" + "C" * 49


@pytest.fixture(autouse=True)
def no_key(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("GENAI_API_KEY", "GENAI_API_KEY_FILE", "GENAI_INSECURE"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
async def fronted(tmp_path: Path) -> AsyncIterator[Front]:
    async with front(f"sqlite:///{tmp_path}/access.db") as fronted:
        yield fronted


async def test_key_is_from_the_argument_the_environment_or_a_file(
    fronted: Front, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    key, secret = await fronted.gateway.new_key()
    (tmp_path / "key").write_text(f"{secret}\n")

    async def called(api_key: str | None = None) -> None:
        async with AsyncGenAIPlatform(fronted.gateway.address, api_key=api_key) as platform:
            assert [model async for model in platform.models.iterate_models()] == []
        assert fronted.recorder.identity().key_id == key.id

    await called(secret)
    for name, value in (("GENAI_API_KEY", secret), ("GENAI_API_KEY_FILE", str(tmp_path / "key"))):
        with row(name), monkeypatch.context() as patch:
            patch.setenv(name, value)
            await called()
    monkeypatch.setenv("GENAI_API_KEY", FORM)
    await called(secret)


async def test_refused_key_is_an_error_of_its_own_class(fronted: Front) -> None:
    _, narrow = await fronted.gateway.new_key(scopes=["generate"])

    def listed(api_key: str | None) -> None:
        with GenAIPlatform(fronted.gateway.address, api_key=api_key) as platform:
            list(platform.models.iterate_models())

    with pytest.raises(Unauthenticated, match=r"GENAI_API_KEY.*\[KEY_MISSING") as missing:
        await asyncio.to_thread(listed, None)
    with pytest.raises(Unauthenticated, match=r"typo.*\[KEY_INVALID") as wrong:
        await asyncio.to_thread(listed, FORM)
    with pytest.raises(PermissionDenied, match=r"no scope `models.read`.*\[SCOPE_MISSING") as denied:
        await asyncio.to_thread(listed, narrow)
    assert denied.value.metadata["scope"] == "models.read"
    for caught in (missing, wrong, denied):
        told = f"{caught.value!r} {caught.value} {caught.value.metadata}"
        assert FORM not in told
        assert narrow not in told


def test_key_is_shown_and_pickled_nowhere() -> None:
    with GenAIPlatform("127.0.0.1:1", api_key=FORM) as platform:
        assert "CANARY" not in repr(platform)
        assert "CANARY" not in repr(vars(platform._connection))
        assert "CANARY" not in repr(vars(platform._connection._rules))
        with pytest.raises(TypeError, match="cannot be pickled"):
            pickle.dumps(platform._connection._rules)
        call = platform._connection._rules.prepare(MODEL_SERVICE, "ListModels", ListModelsRequest(), None, None)
        assert ("authorization", f"Bearer {FORM}") in call.metadata
        assert "CANARY" not in repr(call)


def test_credential_in_metadata_takes_the_place_of_the_key() -> None:
    with GenAIPlatform("127.0.0.1:1", api_key=FORM) as platform:
        rules: CallRules = platform._connection._rules
        for name in ("authorization", "x-api-key"):
            call = rules.prepare(MODEL_SERVICE, "ListModels", ListModelsRequest(), None, {name: "other"})
            assert [value for key, value in call.metadata if key in ("authorization", "x-api-key")] == ["other"]


def test_key_is_not_sent_unencrypted_to_another_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ValueError, match=r"not sent unencrypted to 10\.0\.0\.1:50051") as caught:
        GenAIPlatform("10.0.0.1:50051", api_key=FORM)
    assert "CANARY" not in str(caught.value)
    GenAIPlatform("https://10.0.0.1:50051", api_key=FORM).close()
    GenAIPlatform("10.0.0.1:50051").close()
    monkeypatch.setenv("GENAI_INSECURE", "yes")
    GenAIPlatform("10.0.0.1:50051", api_key=FORM).close()


@for_each(
    ("target", "loopback"),
    [
        ("127.0.0.1:1", True),
        ("127.1.2.3:1", True),
        ("localhost:1", True),
        ("[::1]:1", True),
        ("127.example.com:1", False),
        ("localhost.example.com:1", False),
        ("10.0.0.1:1", False),
    ],
)
def test_loopback_is_this_machine_only(target: str, loopback: bool) -> None:
    found: GatewayTarget = parse_target(target, "target")
    assert found.is_loopback() is loopback


def test_key_that_cannot_be_sent_is_refused_without_repeating_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for text in ("", " ", "CANARY CANARY", "CANARY\nCANARY", "CANARYé"):
        with row(text), pytest.raises(ValueError, match="api_key must be an API key") as caught:
            GenAIPlatform("127.0.0.1:1", api_key=text)
        assert "CANARY" not in str(caught.value)
    monkeypatch.setenv("GENAI_API_KEY_FILE", str(tmp_path / "missing"))
    with pytest.raises(ValueError, match=r"GENAI_API_KEY_FILE: .*missing cannot be read: no such file"):
        GenAIPlatform("127.0.0.1:1")
    monkeypatch.setenv("GENAI_API_KEY", FORM)
    with pytest.raises(ValueError, match="are both set"):
        GenAIPlatform("127.0.0.1:1")
