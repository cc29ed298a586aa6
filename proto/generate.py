"""Generates the Python stubs of every .proto file in this directory, and the list of the types that the SDK exports.

    python proto/generate.py            write the stubs beside the .proto files, and genai_platform/contract.py
    python proto/generate.py --check    write nothing; exit 1 if a stub is missing or out of date

Works from any working directory. The stubs are committed, so that reading the code needs no tool.
"""

from __future__ import annotations

import argparse
import re
import sys
import tempfile
from pathlib import Path

PROTO_DIRECTORY = Path(__file__).resolve().parent
ROOT = PROTO_DIRECTORY.parent

EXPORTED = ("models", "sessions", "usage")
"""The files of the contract whose types callers use."""
EXPORTS = Path("genai_platform") / "contract.py"

_TYPE = re.compile(r"^(?:message|enum) (\w+)", re.MULTILINE)


def generate(output: Path) -> list[Path]:
    """Writes the stubs below `output` and returns their paths relative to it."""
    from grpc_tools import protoc

    sources = sorted(path.relative_to(ROOT).as_posix() for path in PROTO_DIRECTORY.glob("*.proto"))
    include = Path(protoc.__file__).resolve().parent / "_proto"
    # The root is the import path, so that the stubs say `from proto import models_pb2`.
    arguments = ["protoc", f"-I{ROOT}", f"-I{include}"]
    arguments += [f"--{plugin}_out={output}" for plugin in ("python", "pyi", "grpc_python")]
    if protoc.main(arguments + sources) != 0:
        sys.exit("protoc failed; its message is above")
    stubs = sorted(path.relative_to(output) for path in (output / "proto").glob("*_pb2*.py*"))
    (output / EXPORTS).parent.mkdir(exist_ok=True)
    (output / EXPORTS).write_text(exports(), encoding="utf-8")
    return [*stubs, EXPORTS]


def exports() -> str:
    """The module with every message and enum of the contract."""
    lines = ['"""Messages and enums of the contract; written by proto/generate.py."""', ""]
    lines += ["from __future__ import annotations", ""]
    exported: list[str] = []
    for name in EXPORTED:
        types = _TYPE.findall((PROTO_DIRECTORY / f"{name}.proto").read_text(encoding="utf-8"))
        exported += types
        lines += [f"from proto.{name}_pb2 import (", *(f"    {each}," for each in sorted(types, key=str.lower)), ")"]
    lines += ["", "__all__ = [", *(f'    "{each}",' for each in sorted(exported)), "]"]
    return "\n".join(lines) + "\n"


def outdated() -> list[Path]:
    """Returns the stubs that differ from what the .proto files would generate now."""
    with tempfile.TemporaryDirectory() as directory:
        output = Path(directory)
        fresh = {path: (output / path).read_bytes() for path in generate(output)}
    return [
        path for path, content in fresh.items() if not (ROOT / path).is_file() or (ROOT / path).read_bytes() != content
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
    for path in generate(ROOT):
        print(f"generated {path}")


if __name__ == "__main__":
    main()
