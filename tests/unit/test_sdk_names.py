"""What can be imported and called: the whole contract, in both clients, and nothing else behind it."""

from __future__ import annotations

import inspect
import json
import os
import pickle
import pydoc
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import genai_platform
from genai_platform import AsyncConversation, AsyncGenAIPlatform, Conversation, GenAIPlatform
from genai_platform.async_memories import AsyncUserMemory
from genai_platform.async_models import AsyncModels
from genai_platform.async_prompts import AsyncPrompts
from genai_platform.async_sessions import AsyncSessions
from genai_platform.async_usage import AsyncUsage
from genai_platform.channel import MODEL_SERVICE, SESSION_SERVICE, USAGE_SERVICE
from genai_platform.memories import UserMemory
from genai_platform.models import Models
from genai_platform.prompts import Prompts
from genai_platform.requests import ChatFields, TurnFields
from genai_platform.sessions import Sessions
from genai_platform.usage import Usage
from genai_platform.usage_requests import UsageFields
from proto import models_pb2, sessions_pb2, usage_pb2
from tests.rows import for_each, row

ROOT = Path(genai_platform.__file__).parents[1]


def run_python(code: str, directory: Path | None = None, **variables: str) -> str:
    """What a fresh interpreter prints."""
    result = subprocess.run(
        [sys.executable, "-c", code],
        cwd=directory,
        env={**os.environ, **variables},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    return result.stdout


def test_every_rpc_is_one_method_of_its_name_and_types() -> None:
    rpcs = [(AsyncModels, rpc) for rpc in MODEL_SERVICE.methods]
    rpcs += [(AsyncSessions, rpc) for rpc in SESSION_SERVICE.methods]
    rpcs += [(AsyncUsage, rpc) for rpc in USAGE_SERVICE.methods]
    for client, rpc in rpcs:
        method = getattr(client, re.sub(r"(?<!^)(?=[A-Z])", "_", rpc.name).lower())
        assert method.__doc__, rpc.name
        if rpc.name not in ("Chat", "ChatStream"):
            signature = inspect.signature(method)
            given = signature.parameters["request"].annotation.split(" | ")
            assert given[0] == rpc.input_type.name
            assert {"str", "None"}.issuperset(given[1:]) or rpc.name == "PreviewChat"
            returned = f"AsyncIterator[{rpc.output_type.name}]" if rpc.server_streaming else rpc.output_type.name
            assert signature.return_annotation == returned


@for_each(
    ("client", "types"),
    [
        (GenAIPlatform, (Models, Prompts, Sessions, UserMemory, Usage)),
        (AsyncGenAIPlatform, (AsyncModels, AsyncPrompts, AsyncSessions, AsyncUserMemory, AsyncUsage)),
    ],
)
def test_the_parts_of_a_client_have_types_of_public_modules(client: Any, types: tuple[type, ...]) -> None:
    platform = client()
    parts = (platform.models, platform.prompts, platform.sessions, platform.sessions.memory("u1"), platform.usage)
    assert tuple(type(part) for part in parts) == types


def test_every_public_class_is_found_by_its_own_module_and_name() -> None:
    """As pickle and documentation tools look for it."""
    for name in genai_platform.__all__:
        value = getattr(genai_platform, name)
        if isinstance(value, type):
            assert pickle.loads(pickle.dumps(value)) is value


def test_the_turns_of_a_conversation_have_the_keywords_of_a_chat() -> None:
    own = {"messages", "session_id", "request_id", "system"}
    assert set(TurnFields.__annotations__) == set(ChatFields.__annotations__) - own


@for_each("file", [models_pb2, sessions_pb2, usage_pb2], ids=["models", "sessions", "usage"])
def test_every_message_and_enum_of_the_contract_is_exported(file: object) -> None:
    descriptor = file.DESCRIPTOR  # type: ignore[attr-defined]
    for name in (*descriptor.message_types_by_name, *descriptor.enum_types_by_name):
        assert getattr(genai_platform, name).DESCRIPTOR is getattr(file, name).DESCRIPTOR
        assert name in genai_platform.__all__


def test_exported_names_are_there_once() -> None:
    assert len(set(genai_platform.__all__)) == len(genai_platform.__all__)
    assert all(hasattr(genai_platform, name) for name in genai_platform.__all__)


def test_chat_keywords_are_the_fields_of_the_contract() -> None:
    request = set(models_pb2.ChatRequest.DESCRIPTOR.fields_by_name)
    config = set(models_pb2.ChatConfig.DESCRIPTOR.fields_by_name)
    assert not request & config
    assert set(ChatFields.__annotations__) == request | config | {"system", "provider_options"}


def test_usage_keywords_are_the_fields_of_the_contract() -> None:
    request = set(usage_pb2.ListUsageRequest.DESCRIPTOR.fields_by_name) - {"filter", "page_size", "page_token"}
    assert set(UsageFields.__annotations__) == request | set(usage_pb2.UsageFilter.DESCRIPTOR.fields_by_name)


@for_each(
    "owner",
    [Models, Sessions, Usage, Conversation, AsyncModels, AsyncSessions, AsyncUsage, AsyncConversation],
    ids=lambda owner: owner.__name__,
)
def test_help_for_a_call_lists_the_fields_that_it_takes(owner: Any) -> None:
    listed = 0
    for name, method in inspect.getmembers(owner, inspect.isfunction):
        kind = re.search(r"Unpack\[(\w+)\]", str(method.__annotations__.get("fields")))
        if name.startswith("_") or kind is None:
            continue
        with row(name):
            told = pydoc.render_doc(method)
            fields = vars(sys.modules[owner.__module__])[kind[1]].__annotations__
            assert not [field for field in fields if not re.search(rf"^    {field}  +\S", told, re.MULTILINE)]
        listed += 1
    assert listed


def test_package_is_marked_as_typed() -> None:
    assert (ROOT / "genai_platform" / "py.typed").is_file()
    assert (ROOT / "proto" / "py.typed").is_file()


def test_import_brings_nothing_of_the_services() -> None:
    loaded = json.loads(run_python("import sys, json, genai_platform; print(json.dumps(sorted(sys.modules)))"))
    forbidden = {"services", "aiohttp", "pydantic", "httpx", "sqlalchemy", "httptools", "msgspec", "openai"}
    assert not forbidden & {name.partition(".")[0] for name in loaded}


def regular_proto_package(directory: Path) -> str:
    """A stand-in for proto-plus: a regular package called `proto`."""
    package = directory / "proto"
    package.mkdir()
    (package / "__init__.py").write_text("class Message: pass\n")
    return os.pathsep.join([str(directory), str(ROOT)])


def test_stubs_are_found_behind_a_regular_package_called_proto(tmp_path: Path) -> None:
    path = regular_proto_package(tmp_path)
    code = (
        "import proto; proto.Message\n"
        "import genai_platform\n"
        "from proto import models_pb2, sessions_pb2, models_pb2_grpc\n"
        "print(models_pb2.ChatRequest is genai_platform.ChatRequest, proto.Message.__module__)"
    )
    assert run_python(code, PYTHONPATH=path).split() == ["True", "proto"]


def test_stubs_are_found_when_the_sdk_is_imported_before_a_regular_package_called_proto(tmp_path: Path) -> None:
    path = regular_proto_package(tmp_path)
    code = (
        "import genai_platform, proto\nfrom proto import models_pb2\nprint(hasattr(proto, 'Message'), proto.__path__)"
    )
    assert run_python(code, PYTHONPATH=path).startswith("True")


OWN_PROTO = """
syntax = "proto3";
package mine;
message Mine {}
"""


@for_each("regular", [True, False], ids=["regular package", "namespace package"])
def test_program_with_its_own_proto_package_uses_the_sdk(
    tmp_path_factory: pytest.TempPathFactory, regular: bool
) -> None:
    """Its `proto/models.proto` has the names of ours, as a file and as a module."""
    directory = tmp_path_factory.mktemp("program")
    (directory / "proto").mkdir()
    (directory / "proto" / "models.proto").write_text(OWN_PROTO)
    command = [sys.executable, "-m", "grpc_tools.protoc", "-I.", "--python_out=.", "proto/models.proto"]
    subprocess.run(command, cwd=directory, check=True, timeout=60)
    if regular:
        (directory / "proto" / "__init__.py").write_text("VALUE = 1\n")
    code = (
        "from proto import models_pb2\n"
        "import genai_platform\n"
        "platform = genai_platform.GenAIPlatform()\n"
        "print(models_pb2.Mine.DESCRIPTOR.full_name, genai_platform.ChatRequest(model='m').model, platform.models)"
    )
    other_order = "import genai_platform\n" + code
    path = os.pathsep.join([str(directory), str(ROOT)])
    for program in (code, other_order):
        assert run_python(program, directory, PYTHONPATH=path).startswith(
            "mine.Mine m <genai_platform._sync.models.Models"
        )


def test_module_called_proto_may_be_there(tmp_path: Path) -> None:
    (tmp_path / "proto.py").write_text("VALUE = 1\n")
    path = os.pathsep.join([str(tmp_path), str(ROOT)])
    code = "import proto, genai_platform; print(proto.VALUE, genai_platform.ChatRequest(model='m').model)"
    assert run_python(code, PYTHONPATH=path).split() == ["1", "m"]


def test_the_namespace_package_stays_as_it_is_without_such_a_package() -> None:
    code = "import proto\nbefore = list(proto.__path__)\nimport genai_platform\nprint(before == list(proto.__path__))"
    assert run_python(code, PYTHONPATH=str(ROOT)).strip() == "True"
