"""MODELS_CREDENTIALS: where the operator lets keys go."""

from __future__ import annotations

from pathlib import Path

import pytest

from proto.models_pb2 import Credential
from services.models.access.credential_bounds import CredentialBounds, read_bounds
from services.models.access.credentials import Credentials, source_of
from services.models.access.key_files import KeyFiles
from services.models.catalog.provider_registry import KeyBounds
from services.shared.errors import StartupError
from tests.rows import for_each

VENDORS = {"OPENAI_API_KEY": KeyBounds(["https://api.openai.com/v1", "https://proxy.internal/ours/v1"], "openai")}


def read(text: str, directory: Path | None = None) -> CredentialBounds:
    return read_bounds(text, KeyFiles(directory), VENDORS)


def test_each_entry_maps_a_variable_or_a_file_to_an_endpoint(tmp_path: Path) -> None:
    (tmp_path / "team").mkdir()
    text = (
        "LLAMA_TOKEN=https://a.internal/v1, LLAMA_TOKEN = http://b.internal:8000 ,"
        f"file:team/key=https://c.internal/v1,file:{tmp_path}/other=https://d.internal/v1,"
    )
    bounds = read(text, tmp_path)
    assert bounds.allow("LLAMA_TOKEN", "https://a.internal/v1/models")
    assert bounds.allow("LLAMA_TOKEN", "http://b.internal:8000/health")
    assert not bounds.allow("LLAMA_TOKEN", "https://c.internal/v1")
    assert bounds.allow("file:team/key", "https://c.internal/v1")
    assert bounds.allow("file:other", "https://d.internal/v1")
    assert not bounds.allow("file:other", "https://c.internal/v1")
    assert not bounds.is_mapped("MINE_API_KEY")
    assert bounds.allow("MINE_API_KEY", "https://anywhere.example/v1")


def test_vendors_key_is_bound_without_a_word_and_mapped_only_by_one() -> None:
    assert not read("").is_mapped("OPENAI_API_KEY")
    assert not read("").allow("OPENAI_API_KEY", "https://proxy.internal/theirs/v1")
    narrowed = read("OPENAI_API_KEY=https://proxy.internal/ours/v1/team")
    assert narrowed.is_mapped("OPENAI_API_KEY")
    assert narrowed.allow("OPENAI_API_KEY", "https://proxy.internal/ours/v1/team")
    assert not narrowed.allow("OPENAI_API_KEY", "https://api.openai.com/v1")


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("SECRET", "entry 1: must be"),
        ("A_API_KEY=https://a.internal/v1,secret", "entry 2: must be"),
        ("sk-secret=https://a.internal", "entry 1: must be"),
        ("=https://a.internal", "entry 1: must be"),
        ("file:a", "entry 1: must be"),
        ("A_API_KEY=", r"entry 1 \(A_API_KEY\): its URL"),
        ("A_API_KEY=secret", r"entry 1 \(A_API_KEY\): its URL"),
        ("A_API_KEY=ftp://a.internal", r"entry 1 \(A_API_KEY\): its URL"),
        ("A_API_KEY=https://user:secret@a.internal/v1", r"entry 1 \(A_API_KEY\): its URL"),
        ("A_API_KEY=https://a.internal/v1?key=secret", r"entry 1 \(A_API_KEY\): its URL"),
        ("A_API_KEY=https://a.internal/v1/../v2", r"entry 1 \(A_API_KEY\): its URL must have a path without"),
        ("A_API_KEY=https://a.internal/%76", r"entry 1 \(A_API_KEY\): its URL must have a path without"),
        ("file:../secret=https://a.internal", "entry 1: the file must be a path below"),
        ("file:=https://a.internal", "entry 1: the file must be a path"),
        ("file:link=https://a.internal", "entry 1: the file leads out"),
        ("OPENAI_API_KEY=https://proxy.internal/theirs/v1", r"\(OPENAI_API_KEY\): a vendor's key goes only below"),
        ("OPENAI_API_KEY=https://proxy.internal", r"\(OPENAI_API_KEY\): a vendor's key goes only below"),
    ],
)
def test_entry_that_is_wrong_is_named_at_start_without_its_value(tmp_path: Path, text: str, told: str) -> None:
    directory = tmp_path / "keys"
    directory.mkdir()
    (directory / "link").symlink_to(tmp_path)
    with pytest.raises(StartupError, match=f"MODELS_CREDENTIALS: .*{told}") as raised:
        read(text, directory)
    assert "secret" not in str(raised.value).lower()


def test_file_needs_a_directory() -> None:
    with pytest.raises(StartupError, match="MODELS_CREDENTIALS_DIR"):
        read("file:key=https://a.internal")


@pytest.mark.parametrize("file", ["team/key", "./team//key", "{directory}/team/key", "{directory}//team/./key"])
def test_file_is_the_same_however_it_is_written(tmp_path: Path, file: str) -> None:
    files = KeyFiles(tmp_path)
    keys = Credentials(files, read_bounds("file:team/key=https://a.internal/v1", files, {}))
    credential = Credential(file=file.format(directory=tmp_path))
    assert keys.problem(credential, "https://a.internal/v1", "vllm", by_stranger=True) is None
    assert keys.problem(credential, "https://b.internal/v1", "vllm", by_stranger=False)


@for_each(
    ("credential", "logged"),
    [
        (Credential(), ""),
        (Credential(env_var="MINE_API_KEY"), "MINE_API_KEY"),
        (Credential(env_var="sk-proj-secret"), "(no variable)"),
        (Credential(file="team/key"), "file:team/key"),
        (Credential(file="x" * 100_000), "file:" + "x" * 512),
    ],
)
def test_source_of_a_key_is_logged_and_no_key_that_was_pasted_there(credential: Credential, logged: str) -> None:
    assert source_of(credential) == logged
