"""Generates the Python stubs of every .proto file in this directory, and what the SDK knows of the contract.

    python proto/generate.py            write the stubs beside the .proto files, those of the SDK in genai_platform/v1,
                                        and two modules of genai_platform: contract.py, the types that the SDK exports,
                                        and request_fields.py, the keywords of its calls
    python proto/generate.py --check    write nothing; exit 1 if a stub is missing or out of date

Works from any working directory. The stubs are committed, so that reading the code needs no tool.
"""

from __future__ import annotations

import argparse
import re
import sys
import tempfile
import textwrap
from collections.abc import Iterator
from pathlib import Path

from google.protobuf.descriptor_pb2 import DescriptorProto, FieldDescriptorProto, FileDescriptorProto, FileDescriptorSet

PROTO_DIRECTORY = Path(__file__).resolve().parent
ROOT = PROTO_DIRECTORY.parent

EXPORTED = ("models", "sessions", "usage")
"""The files of the contract whose types callers use."""
OF_SDK = (*EXPORTED, "access", "identity")
"""Those that the SDK has modules of its own of, because programs may have another `proto`."""

PACKAGE = Path("genai_platform") / "v1"
EXPORTS = Path("genai_platform") / "contract.py"
REQUEST_FIELDS = Path("genai_platform") / "request_fields.py"

ADDED_MEMBERS = {
    "TokenUsage": [
        "    @property",
        "    def cost_usd(self) -> float | None:",
        '        """The cost of the tokens in US dollars; None if it is not known. Added by genai_platform."""',
    ],
    "Media": [
        "    @classmethod",
        "    def from_file(",
        "        cls,",
        "        path: str | _os.PathLike[str],",
        "        *,",
        "        mime_type: str | None = ...,",
        "        detail: str = ...,",
        "        enable_citations: bool | None = ...,",
        "    ) -> Media:",
        '        """Media with the content and the name of a file. Added by genai_platform."""',
    ],
    "ChatResponse": ["    def _repr_markdown_(self) -> str: ..."],
}
"""The members that genai_platform/message_methods.py adds to messages."""

CHATS = {"ChatRequest", "PreviewChatRequest"}
"""The requests whose keywords are written by hand, in genai_platform/requests.py."""

SCALARS = {
    FieldDescriptorProto.TYPE_STRING: "str",
    FieldDescriptorProto.TYPE_BYTES: "bytes",
    FieldDescriptorProto.TYPE_BOOL: "bool",
    FieldDescriptorProto.TYPE_DOUBLE: "float",
    FieldDescriptorProto.TYPE_INT32: "int",
    FieldDescriptorProto.TYPE_INT64: "int",
}

_IMPORT = re.compile(r"^from genai_platform\.v1 import", re.MULTILINE)
_BUILT_MODULE = re.compile(r"'genai_platform\.v1\.(\w+_pb2)'")
_BARE_MAPPING = re.compile(r"(?<!as )_Mapping\b(?!\[)")
_CONSTANT = re.compile(r"^(\w+): _ClassVar\[int\]", re.MULTILINE)
_CLASS = re.compile(r"class (\w+)\(")
_MEMBER = re.compile(r"    (\w+): ")
_TYPE = re.compile(r"^(?:message|enum) (\w+)", re.MULTILINE)


def generate() -> dict[Path, str]:
    """The text of every generated module, by its path below the root."""
    with tempfile.TemporaryDirectory() as directory:
        compiled = Path(directory)
        files = _compile(compiled)
        texts = {path.name: path.read_text(encoding="utf-8") for path in (compiled / PACKAGE).glob("*_pb2*.py*")}
    for file in files:
        stub = f"{Path(file.name).stem}_pb2.pyi"
        texts[stub] = documented(texts[stub], file)
    written = {Path("proto") / name: _in_proto(name, text) for name, text in sorted(texts.items())}
    written |= {PACKAGE / name: text for name, text in sorted(texts.items()) if _is_of_sdk(name)}
    exported = [file for file in files if Path(file.name).stem in EXPORTED]
    return {**written, EXPORTS: exports(), REQUEST_FIELDS: request_fields(exported)}


def _compile(directory: Path) -> list[FileDescriptorProto]:
    """Compiles the contract below `directory`, as files of its package, and returns the files with their comments.

    Under their own names they would collide, in one process, with another program's `proto/models.proto`.
    """
    from grpc_tools import protoc

    (directory / PACKAGE).mkdir(parents=True)
    sources = [PACKAGE / path.name for path in sorted(PROTO_DIRECTORY.glob("*.proto"))]
    for source in sources:
        text = (PROTO_DIRECTORY / source.name).read_text(encoding="utf-8")
        moved = text.replace('import "proto/', f'import "{PACKAGE.as_posix()}/')
        (directory / source).write_text(moved, encoding="utf-8")
    include = Path(protoc.__file__).resolve().parent / "_proto"
    described = directory / "descriptors"
    arguments = ["protoc", f"-I{directory}", f"-I{include}"]
    arguments += [f"--{plugin}_out={directory}" for plugin in ("python", "pyi", "grpc_python")]
    arguments += [f"--descriptor_set_out={described}", "--include_source_info"]
    if protoc.main([*arguments, *(source.as_posix() for source in sources)]) != 0:
        sys.exit("protoc failed; its message is above")
    return list(FileDescriptorSet.FromString(described.read_bytes()).file)


def _is_of_sdk(name: str) -> bool:
    return name.partition("_pb2")[0] in OF_SDK and "_grpc" not in name


def _in_proto(name: str, text: str) -> str:
    """A stub as it stands in `proto`, from where the services and programs import it.

    Its classes are those of the SDK's own module, since protobuf makes one for each message; its types are too.
    """
    if name.endswith(".pyi") and _is_of_sdk(name):
        module = f"{'.'.join(PACKAGE.parts)}.{name.removesuffix('.pyi')}"
        return f"from {module} import *\nfrom {module} import DESCRIPTOR as DESCRIPTOR\n"
    if name.endswith(".pyi"):
        return text
    return _BUILT_MODULE.sub(r"'proto.\1'", _IMPORT.sub("from proto import", text))


def exports() -> str:
    """The module with every message and enum of the contract."""
    lines = ['"""Messages and enums of the contract; written by proto/generate.py."""', ""]
    lines += ["from __future__ import annotations", ""]
    exported: list[str] = []
    for name in EXPORTED:
        types = _TYPE.findall((PROTO_DIRECTORY / f"{name}.proto").read_text(encoding="utf-8"))
        exported += types
        lines += [
            f"from genai_platform.v1.{name}_pb2 import (",
            *(f"    {each}," for each in sorted(types, key=str.lower)),
            ")",
        ]
    lines += ["", "__all__ = [", *(f'    "{each}",' for each in sorted(exported)), "]"]
    return "\n".join(lines) + "\n"


def documented(stub: str, file: FileDescriptorProto) -> str:
    """A stub with the comments of its .proto file as docstrings, and the members that the SDK adds to messages."""
    comments = _comments_by_name(file)
    # protoc leaves out of which type the members of a dict are, and gives a module what only a class can have.
    typed = _CONSTANT.sub(r"\1: int", _BARE_MAPPING.sub("_Mapping[str, _Any]", stub))
    lines = ["from typing import Any as _Any", *typed.splitlines()]
    if any(message.name == "Media" for message in file.message_type):
        lines.insert(0, "import os as _os")
    written: list[str] = []
    owner = ""
    for line in lines:
        written.append(line)
        if found := _CLASS.match(line):
            owner = found[1]
            written += _docstring(comments[owner])
        elif (found := _MEMBER.match(line)) and f"{owner}.{found[1]}" in comments:
            written += _docstring(comments[f"{owner}.{found[1]}"])
        elif line.startswith("    def __init__(") and owner in ADDED_MEMBERS:
            written += ADDED_MEMBERS[owner]
    return "\n".join(written) + "\n"


def _comments_by_name(file: FileDescriptorProto) -> dict[str, str]:
    """The comments of messages, enums, fields and values, by `Message` or `Message.field`."""
    places = {tuple(place.path): place.leading_comments for place in file.source_code_info.location}
    comments = {}
    for number, types, members in ((4, file.message_type, "field"), (5, file.enum_type, "value")):
        for index, each in enumerate(types):
            comments[each.name] = places[(number, index)]
            for place, member in enumerate(getattr(each, members)):
                comments[f"{each.name}.{member.name}"] = places[(number, index, 2, place)]
    return comments


def request_fields(files: list[FileDescriptorProto]) -> str:
    """The module with the keywords of every call: its request's fields, with their comments."""
    body = "\n\n".join(_described_request(file, index) for file in files for index in _requests(file))
    annotations = "\n".join(re.findall(r"^    \w+: (.+)", body, re.MULTILINE))
    lines = ['"""The keywords of the calls: the fields of their requests; written by proto/generate.py."""', ""]
    lines += ["from __future__ import annotations", "", "from collections.abc import Mapping, Sequence"]
    lines += ["from datetime import timedelta", "from typing import Any, TypedDict", ""]
    lines += ["from genai_platform.calls import CallOptions, Metadata"]
    for name, text in zip(EXPORTED, _texts(), strict=True):
        imported = [
            each for each in sorted(_TYPE.findall(text), key=str.lower) if re.search(rf"\b{each}\b", annotations)
        ]
        if imported:
            lines += [f"from genai_platform.v1.{name}_pb2 import (", *(f"    {each}," for each in imported), ")"]
    return "\n".join(lines) + "\n\n\n" + body


def _texts() -> list[str]:
    return [(PROTO_DIRECTORY / f"{name}.proto").read_text(encoding="utf-8") for name in EXPORTED]


def _requests(file: FileDescriptorProto) -> Iterator[int]:
    """The places of the messages that are requests of calls."""
    taken = {method.input_type for service in file.service for method in service.method}
    for index, message in enumerate(file.message_type):
        if f".{file.package}.{message.name}" in taken and message.name not in CHATS:
            yield index


def _described_request(file: FileDescriptorProto, index: int) -> str:
    message = file.message_type[index]
    comments = _comments_by_name(file)
    own_options = any(field.name == "metadata" for field in message.field)
    base = "TypedDict" if own_options else "CallOptions"
    lines = [f"class {message.name.removesuffix('Request')}Fields({base}, total=False):"]
    lines += _docstring(f"The fields of {_article(message.name)}, as keywords.")
    lines += [""] if message.field else []
    lines += (
        ["    timeout: float | None", *_docstring("The deadline of the whole call, in seconds above 0.")]
        if own_options
        else []
    )
    for field in message.field:
        call_metadata = " | Metadata" if field.name == "metadata" else ""
        lines += [f"    {field.name}: {_type_of(message, field)}{call_metadata} | None"]
        lines += _docstring(comments[f"{message.name}.{field.name}"])
        if field.name.endswith("_json"):
            value = "Mapping[str, Any]" if field.label == field.LABEL_REPEATED else "Any"
            lines += [f"    {field.name.removesuffix('_json')}: {value}"]
            lines += _docstring(f"The same as a Python value, in place of `{field.name}`.")
    return "\n".join(lines) + "\n"


def _article(name: str) -> str:
    return f"{'an' if name[0] in 'AEIOU' else 'a'} {name}"


def _docstring(comment: str) -> list[str]:
    text = " ".join(comment.split())
    return textwrap.wrap(f'"""{text}"""', 120, initial_indent="    ", subsequent_indent="    ")


def _type_of(message: DescriptorProto, field: FieldDescriptorProto) -> str:
    """The type of the values that a keyword takes."""
    name = field.type_name.rpartition(".")[2]
    entry = next((nested for nested in message.nested_type if nested.name == name), None)
    if entry is not None:
        return f"Mapping[str, {_type_of(message, entry.field[1])}]"
    if name == "Duration":
        kind = "timedelta | float"
    elif field.type == FieldDescriptorProto.TYPE_MESSAGE:
        kind = f"{name} | Mapping[str, Any]"
    elif field.type == FieldDescriptorProto.TYPE_ENUM:
        kind = f"{name} | str"
    else:
        kind = SCALARS[field.type]
    return f"Sequence[{kind}]" if field.label == field.LABEL_REPEATED else kind


def outdated() -> list[Path]:
    """The generated modules that differ from what the .proto files would give now."""
    return [
        path
        for path, text in generate().items()
        if not (ROOT / path).is_file() or (ROOT / path).read_text(encoding="utf-8") != text
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description="Generate the protobuf and gRPC stubs in proto/.")
    parser.add_argument("--check", action="store_true", help="only say whether the stubs are up to date")
    arguments = parser.parse_args()
    try:
        import grpc_tools  # noqa: F401
    except ImportError:
        sys.exit("grpcio-tools is not installed; run: pip install -r requirements.txt")

    if arguments.check:
        stale = outdated()
        if stale:
            names = ", ".join(str(path) for path in stale)
            sys.exit(f"out of date: {names}; run: python proto/generate.py")
        print("the stubs are up to date")
        return
    for path, text in generate().items():
        (ROOT / path).write_text(text, encoding="utf-8")
        print(f"generated {path}")


if __name__ == "__main__":
    main()
