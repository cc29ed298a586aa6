"""Prompts as files for a git repository: their format, and writing them.

    support/answer/prompt.json     the labels, and the metadata of every version
    support/answer/v1.md           the text of version 1, byte for byte
    support/answer/v2.md

The folder is the prompt's name. The files depend on the prompts alone, so that writing them again changes nothing; the
history of labels and the platform's times are left out.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

from google.protobuf.json_format import MessageToDict

from genai_platform.errors import FieldViolation, InvalidRequest
from genai_platform.files import open_atomically
from genai_platform.prompt_folders import FACTS_FILE, find_prompt_files, folder_of, is_linked
from genai_platform.v1.models_pb2 import Prompt

ATTRIBUTES_FILE = ".gitattributes"
ATTRIBUTES = b"# The text of a version is kept byte for byte: its line ends are never translated.\nv*.md -text\n"


class PromptRecord(NamedTuple):
    """One prompt with its versions, labels and archive states, without times."""

    name: str
    versions: Sequence[Prompt]
    """In order from version 1, without gaps."""
    labels: Mapping[str, int]
    archived: frozenset[int]


@dataclass(frozen=True)
class ExportReport:
    """The result of an export, as paths below its directory."""

    written: tuple[str, ...]
    unchanged: tuple[str, ...]
    unknown: tuple[str, ...]
    """Prompt files in the directory that belong to no prompt of the platform. They are left unchanged."""

    def __str__(self) -> str:
        return f"{len(self.written)} files written, {len(self.unchanged)} unchanged, {len(self.unknown)} unknown"


def record_prompt(name: str, versions: Iterable[Prompt]) -> PromptRecord:
    """The record of one prompt, from all of its versions, archived ones included."""
    ordered = sorted(versions, key=lambda prompt: prompt.version)
    labels = {label: prompt.version for prompt in ordered for label in prompt.labels}
    archived = frozenset(prompt.version for prompt in ordered if prompt.HasField("archived_at"))
    return PromptRecord(name, ordered, labels, archived)


def write_records(directory: Path, records: Sequence[PromptRecord]) -> ExportReport:
    """Writes the files that differ. Raises InvalidRequest for files behind symbolic links."""
    files = {path: data for record in records for path, data in _format_record(record)}
    linked = [path for path in files if is_linked(directory, path)]
    raise_if_invalid([FieldViolation(str(path), "is reached over a symbolic link") for path in linked])
    directory.mkdir(parents=True, exist_ok=True)
    if not (directory / ATTRIBUTES_FILE).exists():
        files[PurePosixPath(ATTRIBUTES_FILE)] = ATTRIBUTES
    written = [str(path) for path in sorted(files) if _write(directory / path, files[path])]
    known = {str(path) for path in files}
    unknown = [str(path) for path in find_prompt_files(directory) if str(path) not in known]
    return ExportReport(tuple(written), tuple(sorted(known.difference(written))), tuple(sorted(unknown)))


def _format_record(record: PromptRecord) -> Iterator[tuple[PurePosixPath, bytes]]:
    folder = folder_of(record.name)
    facts = {
        "labels": dict(sorted(record.labels.items())),
        "versions": [_describe(prompt, prompt.version in record.archived) for prompt in record.versions],
    }
    yield folder / FACTS_FILE, (json.dumps(facts, indent=2, ensure_ascii=False) + "\n").encode()
    for prompt in record.versions:
        yield folder / f"v{prompt.version}.md", prompt.content.encode()


def _describe(prompt: Prompt, archived: bool) -> dict[str, Any]:
    described: dict[str, Any] = {"version": prompt.version, "content_sha256": hash_content(prompt.content.encode())}
    for field in ("metadata", "defaults"):
        if prompt.HasField(field):
            described[field] = MessageToDict(getattr(prompt, field), preserving_proto_field_name=True)
    if prompt.commit_message:
        described["commit_message"] = prompt.commit_message
    if archived:
        described["archived"] = True
    return described


def _write(path: Path, data: bytes) -> bool:
    """Writes a file unless it has this content already; returns whether it wrote."""
    if path.is_file() and path.read_bytes() == data:
        return False
    path.parent.mkdir(parents=True, exist_ok=True)
    with open_atomically(path) as file:
        file.write(data)
    return True


def hash_content(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def raise_if_invalid(problems: Sequence[FieldViolation]) -> None:
    """Raises InvalidRequest PROMPT_FILES_INVALID unless there are no problems."""
    if problems:
        lines = "; ".join(f"{path} {problem}" for path, problem in problems)
        raise InvalidRequest(f"nothing was changed: {lines}", reason="PROMPT_FILES_INVALID", violations=problems)
