"""Writes docs/features.md: what becomes of each feature in each dialect, found out by encoding it, and of providers'
errors, by reading them.

`python docs/features.py` writes the file, `python docs/features.py --check` fails when it is not current.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[1]
if str(ROOT) not in sys.path:
    sys.path.insert(0, str(ROOT))

from docs.answer_features import answer_lines  # noqa: E402
from docs.dropped_members import dropped_members  # noqa: E402
from docs.error_features import error_lines, finish_reason_lines  # noqa: E402
from docs.feature_requests import Feature, features  # noqa: E402
from proto.models_pb2 import RegisteredModel  # noqa: E402
from services.models.catalog.vendors import VENDORS  # noqa: E402
from services.models.providers.base import Conversation, Target  # noqa: E402
from services.models.providers.encoding import prepare  # noqa: E402
from services.models.routing.registered_target import registered_target  # noqa: E402
from services.shared.errors import PlatformError  # noqa: E402

FILE = ROOT / "docs" / "features.md"


class Column(NamedTuple):
    title: str
    target: Target


def columns() -> list[Column]:
    return [
        *(
            Column(f"{vendor.title} `{model}`", vendor_target(vendor.name, model))
            for vendor in VENDORS.values()
            for model in vendor.shown.models
        ),
        Column("vLLM", endpoint_target("vllm")),
        Column("OpenAI-compatible", endpoint_target("openai-compatible")),
    ]


def vendor_target(name: str, model: str) -> Target:
    vendor = VENDORS[name]
    facts, dialect = vendor.facts(model), vendor.adapter.dialect
    return Target(dialect, name, model, "https://provider.example/v1", {}, facts, state_owner=name)


def endpoint_target(adapter_type: str, upstream_model: str = "mine-7b", **registered: str) -> Target:
    endpoint = "http://127.0.0.1:8000/v1"
    return registered_target(
        RegisteredModel(
            name="mine", endpoint=endpoint, adapter_type=adapter_type, upstream_model=upstream_model, **registered
        )
    )


def outcome(feature: Feature, target: Target) -> str:
    """`yes`, `as named`, `not sent`, the codes of the notices that tell what was changed, or `refused`."""
    conversation = Conversation(feature.request, feature.request.messages)
    try:
        target, encoded = prepare(conversation, target, stream=False)
    except PlatformError:
        return "refused"
    codes = dict.fromkeys(notice.code for notice in encoded.notices)
    if codes:
        return ", ".join(f"`{code}`" for code in codes)
    _, bare = prepare(Conversation(feature.without, feature.without.messages), target, stream=False)
    if feature.request != feature.without and encoded.request.body == bare.request.body:
        return "not sent"
    said = "as named" if any(tool.HasField("provider_tool") for tool in feature.request.tools) else "yes"
    return f"{said} (Responses)" if encoded.request.path == "/responses" else said


def page() -> str:
    shown = columns()
    lines = [
        "# What becomes of each feature",
        "",
        "Made by `python docs/features.py`, which encodes a request with each feature for each column.",
        "",
        "- *yes*: said in the dialect's own form; *(Responses)*: on OpenAI's /v1/responses, the rest of OpenAI on",
        "  /v1/chat/completions",
        "- *not sent*: a hint that the provider has no use for, or what is the case anyway",
        "- a code: what the notice in `ChatResponse.warnings` tells of the adaptation; STRICT refuses those of",
        "  `PARAMETER_DROPPED`, `PARAMETER_CHANGED` and `SCHEMA_CHANGED`",
        "- *as named*: a tool that the provider runs, as the caller names it; whether it has it, it judges",
        "- *refused*: INVALID_ARGUMENT naming the field, before anything is sent",
        "",
        "What a server makes of what it is sent is its own affair.",
        "",
    ]
    group = ""
    for feature in features():
        if feature.group != group:
            group = feature.group
            lines += [f"## {group}", "", f"| | {' | '.join(column.title for column in shown)} |"]
            lines.append(f"|{'---|' * (len(shown) + 1)}")
        cells = [outcome(feature, column.target) for column in shown]
        lines.append(f"| {feature.name} | {' | '.join(cells)} |")
    lines += [*error_lines(), *finish_reason_lines(), *answer_lines()]
    lines += [*dropped_member_lines()]
    text = "\n".join(lines) + "\n"
    return text.replace("\n## ", "\n\n## ").replace("\n\n\n", "\n\n")


def dropped_member_lines() -> Iterator[str]:
    """What of answers is told in a notice alone."""
    yield from [
        "## Not carried",
        "",
        "What a provider tells with an answer, and the platform has no place for, is named in `ChatResponse.warnings`.",
        "Blocks and items of unknown kinds are no such thing: they are opaque state of a part, and go back.",
        "So are images; `IMAGES_IN_STATE` says where they are.",
        "Logprobs that were asked for and did not come are told by `LOGPROBS_MISSING`, more than are read at once by",
        "`LOGPROBS_DROPPED`.",
        "What only keeps the books (dates, fingerprints, what the request said) is not told.",
        "",
        "| | In answers | Notice |",
        "|---|---|---|",
    ]
    for entry in dropped_members():
        streamed = " (streams only)" if entry.body is None else ""
        yield f"| {entry.dialect} | {entry.name}{streamed} | `{entry.notice}` |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="write nothing; fail when the file is not current")
    arguments = parser.parse_args()
    if not arguments.check:
        FILE.write_text(page())
    elif not FILE.exists() or FILE.read_text() != page():
        sys.exit("docs/features.md is not current; run python docs/features.py")


if __name__ == "__main__":
    main()
