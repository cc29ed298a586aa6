"""Writes docs/sdk.md, the reference of the SDK, from the signatures and docstrings of its classes.

`python docs/sdk.py` writes it, `python docs/sdk.py --check` fails when it is not current.
"""

from __future__ import annotations

import argparse
import inspect
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
if str(ROOT) not in sys.path:
    sys.path.insert(0, str(ROOT))

import genai_platform  # noqa: E402
from genai_platform import (  # noqa: E402
    ChatResult,
    ChatResults,
    ChatStream,
    Conversation,
    GenAIError,
    GenAIPlatform,
    Media,
    Parsed,
    to_dict,
)
from genai_platform._sync.memories import UserMemory  # noqa: E402
from genai_platform._sync.models import Models  # noqa: E402
from genai_platform._sync.prompts import Prompts  # noqa: E402
from genai_platform._sync.sessions import Sessions  # noqa: E402
from genai_platform._sync.usage import Usage  # noqa: E402
from genai_platform.field_texts import FIELD_TEXTS  # noqa: E402
from tools.field_texts import read_fields  # noqa: E402

PAGE = ROOT / "docs" / "sdk.md"

BEGINNING = """\
# The SDK

Written by docs/sdk.py from the SDK's own docstrings; `help(platform.models.chat)` shows the same.
The reference of the messages is in the comments of `proto/*.proto`, which editors show.

`AsyncGenAIPlatform` has the same calls: with `await` those that give an answer, with `async for` the others.
Every call takes `timeout`, in seconds, and `metadata`.
Where a call takes fields, these are keywords, the first one by position too; or the request itself instead.
"""

CLASSES = (
    ("platform.models", "platform.models", Models),
    ("platform.prompts", "platform.prompts", Prompts),
    ("platform.sessions", "platform.sessions", Sessions),
    ("A conversation", "conversation", Conversation),
    ("The memory of a user", "memory", UserMemory),
    ("platform.usage", "platform.usage", Usage),
)
RESULTS = (ChatStream, Parsed, ChatResults, ChatResult)
CHAT = "platform.models.chat"
FIELDS_OF_CHAT = {"ChatFields", "TurnFields"}


def page() -> str:
    """The text of docs/sdk.md."""
    lines = [BEGINNING, "## GenAIPlatform\n", *_described(GenAIPlatform), _signature("GenAIPlatform", GenAIPlatform)]
    fields = read_fields()
    for title, path, owner in CLASSES:
        lines += [f"\n## {title}\n", *_described(owner)]
        for name, method in _public(owner):
            lines += _member(path, name, method, fields)
    lines.append("\n## Results and helpers\n")
    for result in RESULTS:
        lines += [f"### `{result.__name__}`\n", *_described(result)]
        for name, member in _public(result):
            lines += [f"- `{name}`: {_first_sentence(member)}"]
        lines.append("")
    for path, helper in (("to_dict", to_dict), ("Media.from_file", Media.from_file)):
        lines += [f"### `{path}`\n", _signature(path, helper), *_described(helper)]
    lines += ["## Errors\n", *_described(GenAIError), *_errors()]
    return re.sub(r"\n{3,}", "\n\n", "\n".join(lines)).rstrip() + "\n"


def _public(owner: type) -> Iterator[tuple[str, Any]]:
    """The public methods and properties of a class, in the order of its source."""
    return (
        (name, member) for name, member in vars(owner).items() if not name.startswith("_") and inspect.getdoc(member)
    )


def _member(path: str, name: str, member: Any, fields: dict[str, dict[str, str]]) -> Iterator[str]:
    yield f"### `{path}.{name}`\n"
    if not callable(member):
        yield from _described(member)
        return
    yield _signature(f"{path}.{name}", member)
    found = re.search(r"Unpack\[(\w+)\]", str(member.__annotations__.get("fields", "")))
    yield from _described(member, FIELD_TEXTS[found[1]] if found else "")
    if not found:
        return
    if found[1] in FIELDS_OF_CHAT and f"{path}.{name}" != CHAT:
        yield f"The fields are those of [`{CHAT}`](#platformmodelschat).\n"
        return
    # Those of every call are told once.
    own = {field: text for field, text in fields[found[1]].items() if text not in fields["CallOptions"].values()}
    if own:
        yield "| Field | |\n|---|---|"
        yield from ("| `{}` | {} |".format(field, text.replace("|", "\\|")) for field, text in own.items())
        yield ""


def _signature(path: str, function: Any) -> str:
    """The signature as Python, with a parameter on each line where one line is too short."""
    signature = inspect.signature(function)
    parts = []
    star = False
    for parameter in signature.parameters.values():
        if parameter.name == "self":
            continue
        if parameter.kind is parameter.KEYWORD_ONLY and not star:
            parts.append("*")
            star = True
        parts.append(_parameter(parameter))
    result = signature.return_annotation
    ending = "" if result in (signature.empty, "None", None) else f" -> {result}"
    line = f"{path}({', '.join(parts)}){ending}"
    if len(line) > 100:
        line = f"{path}(\n" + "".join(f"    {part},\n" for part in parts) + f"){ending}"
    return f"```python\n{line}\n```\n"


def _parameter(parameter: inspect.Parameter) -> str:
    if parameter.kind is parameter.VAR_KEYWORD:
        return f"**{parameter.name}"
    text = f"{parameter.name}: {parameter.annotation}"
    return text if parameter.default is parameter.empty else f"{text} = {parameter.default!r}"


def _described(member: Any, without: str = "") -> Iterator[str]:
    """The docstring as Markdown: its lists in columns, and its programs, are blocks of code."""
    for paragraph in (inspect.getdoc(member) or "").removesuffix(without).rstrip().split("\n\n"):
        lines = paragraph.splitlines()
        if any(re.search(r"^\S.*  +\S|^ {4,}\S", line) for line in lines):
            yield "```text\n" + inspect.cleandoc(paragraph) + "\n```\n"
        else:
            yield " ".join(lines) + "\n"


def _first_sentence(member: Any) -> str:
    return " ".join((inspect.getdoc(member) or "").partition("\n\n")[0].split())


def _errors() -> Iterator[str]:
    yield "| Class | gRPC code | |\n|---|---|---|"
    for name in sorted(genai_platform.__all__):
        kind = getattr(genai_platform, name)
        if isinstance(kind, type) and issubclass(kind, GenAIError) and kind is not GenAIError:
            text = _first_sentence(kind) if vars(kind).get("__doc__") else ""
            yield f"| `{name}` | {kind.status_code.name} | {text} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="write nothing; fail when the page is not current")
    arguments = parser.parse_args()
    if not arguments.check:
        PAGE.write_text(page(), encoding="utf-8")
    elif not PAGE.exists() or PAGE.read_text(encoding="utf-8") != page():
        sys.exit("docs/sdk.md: not current; run python docs/sdk.py")


if __name__ == "__main__":
    main()
