"""The file from which a batch is resumed: a line of JSON for each answer, written when it has come.

A line has the SHA-256 of its request and the response, and nothing of the conversation that was asked. Failures are not
written, so they are tried again. Answers to equal requests are given to them in the order of the prompts.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from google.protobuf.json_format import MessageToDict, ParseDict, ParseError

from genai_platform.errors import InvalidRequest
from genai_platform.v1.models_pb2 import ChatRequest, ChatResponse

BEGINNING = b'{"request": "'


class AnswerFile:
    """The answers of a batch in a file, or nowhere if there is no path."""

    def __init__(self, path: str | os.PathLike[str] | None, requests: Sequence[ChatRequest]) -> None:
        self._path = None if path is None else Path(path)
        self._keys = [] if path is None else [_key_of(request) for request in requests]
        self._file: Any = None

    def read(self) -> dict[int, ChatResponse]:
        """The answers of earlier runs, by the index of their request.

        Raises InvalidRequest ANSWERS_INVALID for a file that holds anything else; a last line that was cut off is
        removed.
        """
        if self._path is None or not self._path.exists():
            return {}
        answers: dict[str, list[ChatResponse]] = {}
        for key, response in self._read_lines(self._path):
            answers.setdefault(key, []).append(response)
        return {index: answers[key].pop(0) for index, key in enumerate(self._keys) if answers.get(key)}

    def _read_lines(self, path: Path) -> Iterator[tuple[str, ChatResponse]]:
        whole, end, rest = path.read_bytes().rpartition(b"\n")
        lines = whole.splitlines()
        for number, line in enumerate(lines, start=1):
            try:
                entry = json.loads(line)
                yield entry["request"], ParseDict(entry["response"], ChatResponse(), ignore_unknown_fields=True)
            except (ValueError, KeyError, TypeError, ParseError):
                raise _invalid(path, number) from None
        if not rest:
            return
        # A process that was killed while it wrote has left the beginning of a line.
        if not rest.startswith(BEGINNING[: len(rest)]):
            raise _invalid(path, len(lines) + 1)
        with path.open("r+b") as file:
            file.truncate(len(whole) + len(end))

    def write(self, index: int, response: ChatResponse) -> None:
        """Adds an answer, which is in the file when this returns."""
        if self._file is not None:
            told = MessageToDict(response, preserving_proto_field_name=True)
            line = json.dumps({"request": self._keys[index], "response": told})
            self._file.write(line.encode() + b"\n")

    def __enter__(self) -> Self:
        if self._path is not None:
            self._file = self._path.open("ab", buffering=0)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._file is not None:
            self._file.close()


def _key_of(request: ChatRequest) -> str:
    return hashlib.sha256(request.SerializeToString(deterministic=True)).hexdigest()


def _invalid(path: Path, line: int) -> InvalidRequest:
    return InvalidRequest(
        f"line {line} of {path} is no answer of a batch; name another file for resume", reason="ANSWERS_INVALID"
    )
