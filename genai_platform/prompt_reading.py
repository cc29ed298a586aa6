"""Reads and checks the files of prompts, whose format `prompt_files` describes."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Any

from google.protobuf.json_format import ParseDict, ParseError

from genai_platform.errors import FieldViolation
from genai_platform.prompt_files import PromptRecord, hash_content, raise_if_invalid
from genai_platform.prompt_folders import CONTENT_FILE, FACTS_FILE, find_prompt_files, name_of
from genai_platform.v1.models_pb2 import Prompt

FACTS_KEYS = {"labels", "versions"}
VERSION_KEYS = {"version", "content_sha256", "metadata", "commit_message", "defaults", "archived"}

_LABEL = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")


def read_records(directory: Path) -> list[PromptRecord]:
    """Reads and checks all prompts below a directory; other files in it are ignored.

    Raises NotADirectoryError, or InvalidRequest PROMPT_FILES_INVALID naming every wrong file.
    """
    if not directory.is_dir():
        raise NotADirectoryError(f"there is no directory {directory}")
    problems: list[FieldViolation] = []
    folders = {path.parent for path in find_prompt_files(directory, problems.append)}
    # Before any file is read: a symbolic link may lead anywhere.
    raise_if_invalid(problems)
    records = [_FolderReader(directory, folder, problems).read() for folder in sorted(folders)]
    raise_if_invalid(problems)
    return records


class _FolderReader:
    """Reads one prompt's folder, and adds its problems to `problems`."""

    def __init__(self, directory: Path, folder: PurePosixPath, problems: list[FieldViolation]) -> None:
        self._directory = directory / folder
        self._folder = folder
        self._problems = problems

    def read(self) -> PromptRecord:
        name = name_of(self._folder)
        if name is None:
            self._add_problem("", "is no folder of a prompt: its path is the prompt's name, as export_to writes it")
            return PromptRecord("", (), {}, frozenset())
        facts = self._read_facts()
        contents = self._read_contents()
        described = self._read_versions(facts, contents)
        versions = [self._build(name, number, contents[number], described.get(number, {})) for number in contents]
        labels = self._read_labels(facts, contents)
        archived = frozenset(number for number, fields in described.items() if fields.get("archived"))
        return PromptRecord(name, versions, labels, archived)

    def _read_facts(self) -> dict[str, Any]:
        path = self._directory / FACTS_FILE
        try:
            facts = json.loads(path.read_bytes())
        except FileNotFoundError:
            self._add_problem(FACTS_FILE, "is missing; an empty one is {}")
            return {}
        except (ValueError, RecursionError):
            self._add_problem(FACTS_FILE, "is no JSON")
            return {}
        if not isinstance(facts, dict) or not facts.keys() <= FACTS_KEYS:
            self._add_problem(FACTS_FILE, f"must be an object of {' and '.join(sorted(FACTS_KEYS))}")
            return {}
        return facts

    def _read_contents(self) -> dict[int, str]:
        """The texts by version, oldest first. Versions must be numbered from 1 without gaps."""
        contents: dict[int, str] = {}
        for entry in self._directory.iterdir():
            match = CONTENT_FILE.fullmatch(entry.name)
            if match and entry.is_file():
                contents[int(match[1])] = self._read_text(entry)
        missing = next((number for number in range(1, len(contents) + 1) if number not in contents), None)
        if missing or not contents:
            self._add_problem(f"v{missing or 1}.md", "is missing; versions follow each other from 1")
        return dict(sorted(contents.items()))

    def _read_text(self, path: Path) -> str:
        try:
            return path.read_bytes().decode()
        except UnicodeDecodeError:
            self._add_problem(path.name, "is not UTF-8 text")
            return ""

    def _read_versions(self, facts: Mapping[str, Any], contents: Mapping[int, str]) -> dict[int, Mapping[str, Any]]:
        """The metadata by version. A version without an entry has its text alone."""
        described: dict[int, Mapping[str, Any]] = {}
        entries = facts.get("versions", [])
        for fields in entries if isinstance(entries, list) else [entries]:
            number = fields.get("version") if isinstance(fields, dict) else None
            if type(number) is not int or number in described or not fields.keys() <= VERSION_KEYS:
                self._add_problem(FACTS_FILE, f"versions: each is an object of {', '.join(sorted(VERSION_KEYS))}, once")
            elif number not in contents:
                self._add_problem(FACTS_FILE, f"versions: there is no v{number}.md")
            else:
                described[number] = fields
        return described

    def _build(self, name: str, number: int, content: str, fields: Mapping[str, Any]) -> Prompt:
        if fields.get("content_sha256", (digest := hash_content(content.encode()))) != digest:
            problem = "is not the text that was exported; versions never change: write a new one, and keep line ends"
            self._add_problem(f"v{number}.md", problem)
        known = {key: fields[key] for key in ("metadata", "commit_message", "defaults") if key in fields}
        prompt = Prompt()
        try:
            ParseDict(known, prompt)
        except ParseError:
            self._add_problem(FACTS_FILE, f"version {number}: its metadata, commit_message or defaults are wrong")
        if not isinstance(fields.get("archived", False), bool):
            self._add_problem(FACTS_FILE, f"version {number}: archived must be true or false")
        prompt.name, prompt.version, prompt.content = name, number, content
        return prompt

    def _read_labels(self, facts: Mapping[str, Any], contents: Mapping[int, str]) -> dict[str, int]:
        labels = facts.get("labels", {})
        if not isinstance(labels, dict):
            self._add_problem(FACTS_FILE, "labels must be an object of labels and version numbers")
            return {}
        for label, version in labels.items():
            if not _LABEL.fullmatch(label) or type(version) is not int or version not in contents:
                self._add_problem(
                    FACTS_FILE, f"labels: {label[:64]!r} must be a label and its version one that is there"
                )
        return labels

    def _add_problem(self, file: str, problem: str) -> None:
        self._problems.append(FieldViolation(str(self._folder / file), problem))
