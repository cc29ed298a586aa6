"""Addresses of the gateway."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from genai_platform import AsyncGenAIPlatform, GenAIPlatform, environment
from genai_platform.environment import read_variable
from genai_platform.requests import build_chat_request
from genai_platform.target import GatewayTarget, find_target
from tests.rows import for_each


@for_each(
    ("text", "target"),
    [
        ("127.0.0.1:50051", GatewayTarget("127.0.0.1:50051", False)),
        ("localhost:1", GatewayTarget("localhost:1", False)),
        ("http://gateway:80", GatewayTarget("gateway:80", False)),
        ("grpc://gateway:9/", GatewayTarget("gateway:9", False)),
        (" HTTPS://Gateway.example ", GatewayTarget("gateway.example:443", True)),
        ("grpcs://gateway:50051", GatewayTarget("gateway:50051", True)),
        ("[::1]:50051", GatewayTarget("[::1]:50051", False)),
        ("https://[2001:db8::1]", GatewayTarget("[2001:db8::1]:443", True)),
    ],
)
def test_addresses_and_urls_are_read(text: str, target: GatewayTarget) -> None:
    assert find_target(text) == target


@for_each(
    "text",
    [
        *("", " ", "gateway", "http://gateway", ":50051", "gateway:port", "gateway:0", "gateway:70000", "ftp://a:1"),
        *("http://gateway:1/v1", "http://gateway:1?x=1", "http://gateway:1#x", "::1:50051", "https://a:0", "://a:1"),
    ],
)
def test_a_bad_target_is_a_value_error_that_says_what_is_expected(text: str) -> None:
    with pytest.raises(ValueError, match=r"target must be host:port, such as 127\.0\.0\.1:50051"):
        GenAIPlatform(text)


def test_a_password_in_a_target_is_not_repeated() -> None:
    with pytest.raises(ValueError, match="not repeated here") as caught:
        GenAIPlatform("http://user:hunter2@gateway:1")
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize("client", [GenAIPlatform, AsyncGenAIPlatform])
def test_the_environment_names_the_gateway_when_the_program_does_not(
    client: type[GenAIPlatform | AsyncGenAIPlatform], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GENAI_GATEWAY_URL", "http://gateway:7")
    assert "'gateway:7'" in repr(client())
    assert "'other:8'" in repr(client("other:8"))
    monkeypatch.setenv("GENAI_GATEWAY_URL", "")
    assert "'127.0.0.1:50051'" in repr(client())
    monkeypatch.delenv("GENAI_GATEWAY_URL")
    assert "'127.0.0.1:50051'" in repr(client())


ENV_FILE = """
# The gateway.
export GENAI_GATEWAY_URL="http://filed:7"   # behind a name
GENAI_MODEL = gpt-4o # a comment
GENAI_API_KEY='key#1'
no line of a variable
"""


@pytest.fixture
def in_directory_with_env_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / ".env").write_text(ENV_FILE)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(environment, "FILE", ".env")
    for name in ("GENAI_GATEWAY_URL", "GENAI_MODEL", "GENAI_API_KEY"):
        monkeypatch.delenv(name, raising=False)


@pytest.mark.usefixtures("in_directory_with_env_file")
def test_variables_may_stand_in_a_file(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GENAI_INSECURE", "yes")
    before = dict(os.environ)
    assert "'filed:7'" in repr(GenAIPlatform())
    assert read_variable("GENAI_API_KEY") == "key#1"
    assert build_chat_request("Hi", {}).model == "gpt-4o"
    assert build_chat_request("Hi", {"model": "m"}).model == "m"
    assert build_chat_request("Hi", {"prompt": "p"}).model == ""
    monkeypatch.setenv("GENAI_MODEL", "other")
    assert build_chat_request("Hi", {}).model == "other"
    monkeypatch.setenv("GENAI_MODEL", "")
    assert build_chat_request("Hi", {}).model == ""
    assert dict(os.environ) == {**before, "GENAI_MODEL": ""}


@pytest.mark.usefixtures("in_directory_with_env_file")
def test_key_of_the_environment_goes_to_no_gateway_of_a_file(monkeypatch: pytest.MonkeyPatch) -> None:
    """A command may be run in the directory of somebody else's project."""
    monkeypatch.setenv("GENAI_INSECURE", "yes")
    monkeypatch.setenv("GENAI_API_KEY", "key-of-mine")
    with pytest.raises(ValueError, match="not sent to filed:7, which a file") as caught:
        GenAIPlatform()
    assert "key-of-mine" not in str(caught.value)
    assert "'filed:7'" in repr(GenAIPlatform(api_key="given"))
    assert "'gateway:8'" in repr(GenAIPlatform("gateway:8"))
    monkeypatch.setenv("GENAI_GATEWAY_URL", "gateway:9")
    assert "'gateway:9'" in repr(GenAIPlatform())


def test_file_of_variables_that_is_not_there_is_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(environment, "FILE", ".env")
    (tmp_path / "gone").mkdir()
    monkeypatch.chdir(tmp_path / "gone")
    assert read_variable("GENAI_OF_NO_FILE") == ""
    (tmp_path / "gone").rmdir()
    assert read_variable("GENAI_OF_NO_FILE") == ""


@for_each(
    ("name", "make", "problem"),
    [
        ("directory", Path.mkdir, "is a directory"),
        ("loop", lambda path: path.symlink_to(path), "too many levels of symbolic links"),
        ("latin", lambda path: path.write_bytes(b"GENAI_MODEL=\xff\n"), "it is not UTF-8 text"),
        ("nul", lambda path: path.write_bytes(b"GENAI_MODEL=a\0b\n"), "it contains a NUL character"),
    ],
)
def test_file_of_variables_that_cannot_be_read_is_told_once(
    name: str, make: Callable[[Path], object], problem: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    directory = tmp_path / name
    directory.mkdir()
    monkeypatch.setattr(environment, "FILE", ".env")
    monkeypatch.chdir(directory)
    make(directory / ".env")
    told = f"^{re.escape(str(directory))}/.env cannot be read: {problem}; none of its variables is used$"
    with pytest.warns(UserWarning, match=told):
        assert "'127.0.0.1:50051'" in repr(GenAIPlatform())
    # Another warning would be an error.
    assert "'other:8'" in repr(GenAIPlatform("other:8"))


def test_byte_order_mark_is_no_part_of_the_first_variable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(environment, "FILE", ".env")
    monkeypatch.chdir(tmp_path)
    (tmp_path / ".env").write_text("GENAI_OF_A_FILE=there\n", encoding="utf-8-sig")
    assert read_variable("GENAI_OF_A_FILE") == "there"


def test_a_bad_address_in_the_environment_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GENAI_GATEWAY_URL", "gateway")
    with pytest.raises(ValueError, match="GENAI_GATEWAY_URL must be host:port"):
        GenAIPlatform()
