"""Keys of registered models that lie in files below one directory."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from pathlib import Path

import grpc
import pytest

from proto import models_pb2
from services.models.access.credentials import Credentials
from services.models.access.key_files import MAX_FILE_BYTES, KeyFiles
from services.models.settings import Settings
from services.shared.errors import PreconditionFailed, StartupError
from services.shared.logs import open_log
from services.shared.settings import load_settings
from tests.rows import row
from tests.scripted_upstream import ScriptedUpstream, json_answer
from tests.services.log_file import LogFile
from tests.services.model_service import chat_request, completion, model_service, registration, streamed_completion
from tests.support.errors import failure_of

KEY = "canary-key-0123456789"


@pytest.fixture
async def upstream() -> AsyncIterator[ScriptedUpstream]:
    async with ScriptedUpstream(default=json_answer(completion("Hi."))) as server:
        yield server


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    directory = tmp_path / "keys"
    directory.mkdir()
    return directory


def in_file(file: str) -> models_pb2.Credential:
    return models_pb2.Credential(file=file)


def problem_of(credentials: Credentials, file: str) -> PreconditionFailed:
    with pytest.raises(PreconditionFailed) as caught:
        credentials.read(in_file(file))
    assert KEY not in str(caught.value)
    assert caught.value.metadata == {"file": file}
    return caught.value


# ---------------------------------------------------------------------------------------------------- as callers see it


@pytest.mark.parametrize("absolute", [True, False])
async def test_key_is_read_from_its_file_at_each_use_so_that_it_can_be_replaced(
    tmp_path: Path, directory: Path, upstream: ScriptedUpstream, absolute: bool
) -> None:
    (directory / "acme").write_text(f"{KEY}\n")
    request = registration(upstream, credential=in_file(str(directory / "acme") if absolute else "acme"))
    file = LogFile()
    log = open_log("models", file=file)
    async with model_service(tmp_path, upstream, log=log, MODELS_CREDENTIALS_DIR=str(directory)) as service:
        registered = await service.stub.RegisterModel(request)
        upstream.play(streamed_completion())
        await service.stub.Chat(chat_request("mine"))
        (directory / "acme").write_text("the-next-key")
        upstream.play(streamed_completion())
        await service.stub.Chat(chat_request("mine"))
        listed = await service.stub.ListRegisteredModels(models_pb2.ListRegisteredModelsRequest())
    sent = [received.headers["authorization"] for received in upstream.requests]
    assert set(sent[:-1]) == {f"Bearer {KEY}"}
    assert sent[-1] == "Bearer the-next-key"
    assert registered.model.credential == listed.models[0].credential == request.credential
    stored = b"".join(path.read_bytes() for path in tmp_path.glob("models.db*"))
    assert b"acme" in stored
    for told in (stored, file.getvalue(), str(registered).encode(), str(listed).encode()):
        assert KEY.encode() not in told


async def test_key_that_is_not_there_is_told_by_its_file(
    tmp_path: Path, directory: Path, upstream: ScriptedUpstream
) -> None:
    async with model_service(tmp_path, upstream, MODELS_CREDENTIALS_DIR=str(directory)) as service:
        registered = await service.stub.RegisterModel(registration(upstream, credential=in_file("acme")))
        failure = await failure_of(service.stub.Chat(chat_request("mine")))
    assert registered.model.status == "unhealthy"
    assert [notice.code for notice in registered.warnings] == ["CREDENTIAL_MISSING"]
    assert (failure.code, failure.reason) == (grpc.StatusCode.FAILED_PRECONDITION, "CREDENTIAL_MISSING")
    assert failure.metadata["file"] == "acme"
    assert failure.metadata["model"] == "mine"
    assert upstream.requests == []


async def test_file_outside_the_directory_is_refused(
    tmp_path: Path, directory: Path, upstream: ScriptedUpstream
) -> None:
    outside = tmp_path / "secret"
    outside.write_text(KEY)
    (directory / "link").symlink_to(outside)
    (directory / "linked").symlink_to(tmp_path)
    escapes = ["../secret", "a/../../secret", "/etc/passwd", str(outside), "link", "linked/secret"]
    async with model_service(tmp_path, upstream, MODELS_CREDENTIALS_DIR=str(directory)) as service:
        for file in ["", *escapes, "a\0b", "a\nb", "x" * 513]:
            with row(file):
                request = registration(upstream, credential=in_file(file))
                failure = await failure_of(service.stub.RegisterModel(request))
                assert failure.code is grpc.StatusCode.INVALID_ARGUMENT
                assert list(failure.fields) == ["credential.file"]
    assert upstream.requests == []


async def test_without_a_directory_the_setting_is_named(tmp_path: Path, upstream: ScriptedUpstream) -> None:
    async with model_service(tmp_path, upstream, MODELS_CREDENTIALS_DIR=None) as service:
        failure = await failure_of(service.stub.RegisterModel(registration(upstream, credential=in_file("acme"))))
    assert failure.code is grpc.StatusCode.INVALID_ARGUMENT
    assert "MODELS_CREDENTIALS_DIR" in failure.fields["credential.file"]


def test_directory_that_is_none_is_told_at_start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MODELS_CREDENTIALS_DIR", str(tmp_path / "missing"))
    settings = load_settings(Settings)
    with pytest.raises(StartupError, match="MODELS_CREDENTIALS_DIR"):
        settings.choose_credentials_directory()


# ------------------------------------------------------------------------------------------------------ what is read


def test_links_inside_the_directory_are_followed(directory: Path) -> None:
    """As Kubernetes mounts secrets: each name leads through `..data` to the newest version."""
    (directory / "..2026").mkdir()
    (directory / "..2026" / "acme").write_text(KEY)
    (directory / "..data").symlink_to("..2026")
    (directory / "acme").symlink_to("..data/acme")
    assert Credentials(KeyFiles(directory)).read(in_file("acme")) == KEY


def test_link_that_is_turned_outwards_later_is_not_followed(tmp_path: Path, directory: Path) -> None:
    (tmp_path / "secret").write_text(KEY)
    (directory / "acme").symlink_to(tmp_path / "secret")
    assert problem_of(Credentials(KeyFiles(directory)), "acme").reason == "CREDENTIAL_INVALID"


def test_file_that_a_setting_no_longer_covers_is_not_read(directory: Path) -> None:
    (directory / "acme").write_text(KEY)
    assert problem_of(Credentials(), str(directory / "acme")).reason == "CREDENTIAL_INVALID"


@pytest.mark.parametrize("content", [b"k\xc3\xa4y", b"two\nlines", b"\0", b"x" * (MAX_FILE_BYTES + 1)])
def test_what_is_no_key_is_not_sent(directory: Path, content: bytes) -> None:
    (directory / "acme").write_bytes(content)
    assert problem_of(Credentials(KeyFiles(directory)), "acme").reason == "CREDENTIAL_INVALID"


def test_pipe_folder_circle_and_empty_file_hold_no_key_and_hold_up_nobody(directory: Path) -> None:
    os.mkfifo(directory / "pipe")
    (directory / "folder").mkdir()
    (directory / "circle").symlink_to("circle")
    (directory / "empty").write_text(" \n")
    for file in ("pipe", "folder", "circle", "empty", "missing/deeper"):
        assert problem_of(Credentials(KeyFiles(directory)), file).reason == "CREDENTIAL_MISSING"
