"""The keys of identities: from the settings, else from one file that the processes of a machine share."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest

from proto.identity_pb2 import CallerIdentity
from services.shared.errors import StartupError
from services.shared.identity import IdentitySigner
from services.shared.internal_keys import open_signer
from services.shared.settings import ServiceSettings
from tests.rows import for_each

KEY, OTHER = "k" * 32, "o" * 32


def signer(directory: Path, addresses: dict[str, str] | None = None, **settings: str) -> IdentitySigner:
    given = {"AUTH_MODE": "required", "GENAI_DATA_DIR": str(directory), **settings}
    found = open_signer(ServiceSettings.model_validate(given), addresses=addresses)
    assert found
    return found


def agree(first: IdentitySigner, second: IdentitySigner) -> bool:
    return second.read(first.sign(CallerIdentity(key_id="key"))).key_id == "key"


def test_without_authentication_there_is_no_key(tmp_path: Path) -> None:
    assert open_signer(ServiceSettings.model_validate({"GENAI_DATA_DIR": str(tmp_path)})) is None
    assert not list(tmp_path.iterdir())


def test_first_key_of_the_settings_signs_and_all_are_accepted(tmp_path: Path) -> None:
    both = signer(tmp_path, GENAI_INTERNAL_KEYS=f"{KEY}, {OTHER}")
    assert agree(both, signer(tmp_path, GENAI_INTERNAL_KEYS=KEY))
    assert agree(signer(tmp_path, GENAI_INTERNAL_KEYS=OTHER), both)
    assert not list(tmp_path.iterdir())


@for_each("keys", ["short", f"{KEY},", f"{KEY},short"])
def test_short_key_is_refused_and_not_repeated(tmp_path: Path, keys: str) -> None:
    with pytest.raises(StartupError, match=r"GENAI_INTERNAL_KEYS: key . has . bytes and must have 32") as caught:
        signer(tmp_path, GENAI_INTERNAL_KEYS=keys)
    assert "short" not in str(caught.value)
    assert KEY not in str(caught.value)


def test_processes_that_start_at_once_share_one_file(tmp_path: Path) -> None:
    directory = tmp_path / "data"
    together = threading.Barrier(8)
    found: list[IdentitySigner] = []

    def start() -> None:
        together.wait()
        found.append(signer(directory))

    threads = [threading.Thread(target=start) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(agree(found[0], other) for other in found)
    [file] = directory.iterdir()
    assert file.name == "internal.key"
    assert file.stat().st_mode & 0o777 == 0o600


def test_file_that_others_can_read_is_refused(tmp_path: Path) -> None:
    signer(tmp_path)
    os.chmod(tmp_path / "internal.key", 0o640)
    with pytest.raises(StartupError, match="others than its owner can use it"):
        signer(tmp_path)


def test_file_without_a_key_is_refused(tmp_path: Path) -> None:
    (tmp_path / "internal.key").touch(0o600)
    with pytest.raises(StartupError, match="holds no key"):
        signer(tmp_path)


def test_link_to_a_file_is_refused(tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    signer(elsewhere)
    (tmp_path / "internal.key").symlink_to(elsewhere / "internal.key")
    with pytest.raises(StartupError, match=r"internal\.key cannot be used"):
        signer(tmp_path)


def test_other_machines_need_keys_in_the_settings(tmp_path: Path) -> None:
    with pytest.raises(StartupError, match="GENAI_INTERNAL_KEYS: must be set, because GENAI_HOST"):
        signer(tmp_path, GENAI_HOST="0.0.0.0")
    away = {"MODELS_ADDRESS": "127.0.0.1:50053,https://models.internal:443"}
    with pytest.raises(StartupError, match=r"MODELS_ADDRESS leads to another machine, models\.internal;"):
        signer(tmp_path, away)
    signer(tmp_path, away, GENAI_HOST="0.0.0.0", GENAI_INTERNAL_KEYS=KEY)
    signer(tmp_path, {"MODELS_ADDRESS": "127.0.0.1:1,[::1]:2,localhost:3"})
