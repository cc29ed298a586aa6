"""Large JSON, decoded in steps of about a millisecond.

JSON libraries hold the GIL while they decode, in any thread: 24 MiB at once block the event loop for a quarter of a
second. So the bytes are searched for their structure, and decoded in pieces: several members that are small together,
or a slice of a large text. Between two steps other threads can take the GIL.

The result is the same as in one step. An empty list is three bytes and takes eighty in memory, so the number of values
is bounded; tokens that cannot be split, such as numbers, are bounded by their bytes.
"""

from __future__ import annotations

import re
import sys
from itertools import pairwise
from typing import Any

from services.shared.json_values import Malformed, decode_whole

PIECE_BYTES = 64 * 1024
"""Bytes that are decoded or searched in one step."""

MAX_VALUES = 2**17
"""Limit for values, counted by opening brackets and commas: so many take 15 MiB."""

MAX_TOKEN_BYTES = 1024 * 1024
"""Limit for tokens that are not split: numbers, names, and white space between two marks."""

BYTE_ORDER_MARK = b"\xef\xbb\xbf"
_BLANKS = b" \t\n\r"
_QUOTE = ord('"')

# Matches up to a structural mark, across texts that end within the step, or up to the step's end.
_NEXT_MARK = re.compile(rb'(?:[^"\[\]{},]++|"[^"\\]*+(?:\\.[^"\\]*+)*+")*+([\[\]{},"]?)', re.DOTALL)
# Matches the inside of a text, without a cut within an escape.
_WHOLE_CHARACTERS = re.compile(rb'[^"\\]*+(?:\\(?:u.{4}|[^u])[^"\\]*+)*+', re.DOTALL)
_SECOND_HALF = re.compile(rb"\\u[dD][c-fC-F]..", re.DOTALL)


def decode_in_steps(data: bytes) -> Any:
    """The value of JSON bytes. Raises Malformed, also for JSON beyond the bounds."""
    return _Reader(data).read()


class _Reader:
    """Reads one value. It reads brackets and commas only; the decoder checks all that is between them."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        start = len(BYTE_ORDER_MARK) if data.startswith(BYTE_ORDER_MARK) else 0
        self._container = _Container(data, start - 1)
        self._outer: list[_Container] = []
        self._newest_mark = start
        self._values = 0

    def read(self) -> Any:
        around, position = self._container, self._newest_mark
        while position < len(self._data):
            position = self._read_step(position)
        if self._outer:
            raise Malformed
        found = around.end(position)
        if len(found) != 1:
            raise Malformed
        return found[0]

    def _read_step(self, start: int) -> int:
        """Reads a step from `start`. Returns the start of the next step."""
        end = start
        for found in _NEXT_MARK.finditer(self._data, start, start + PIECE_BYTES):
            mark, end = found[1], found.end()
            if mark == b",":
                self._count_value()
                self._container.end_member(end - 1)
            elif mark == b"[" or mark == b"{":
                self._count_value()
                self._begin(end - 1, is_object=mark == b"{")
            elif mark == b"]" or mark == b"}":
                self._end(end - 1, is_object=mark == b"}")
            elif mark:
                return self._read_text(end - 1)
            else:
                break
            self._newest_mark = end
        if end - self._newest_mark > MAX_TOKEN_BYTES:
            raise Malformed
        return end

    def _count_value(self) -> None:
        self._values += 1
        if self._values > MAX_VALUES:
            raise Malformed

    def _begin(self, bracket: int, *, is_object: bool) -> None:
        self._outer.append(self._container)
        self._container = _Container(self._data, bracket, is_object=is_object)
        if len(self._outer) > sys.getrecursionlimit():
            raise Malformed

    def _end(self, bracket: int, *, is_object: bool) -> None:
        ended = self._container
        if not self._outer or ended.is_object != is_object:
            raise Malformed
        self._container = self._outer.pop()
        if bracket - ended.start >= PIECE_BYTES:
            self._container.add(ended.end(bracket), ended.start, bracket + 1)

    def _read_text(self, quote: int) -> int:
        """Reads a text that is longer than a step. Returns its end."""
        cuts = _cuts(self._data, quote + 1)
        end = self._newest_mark = cuts[-1] + 1
        if len(cuts) > 2 and not self._container.is_at_name(quote, end):
            self._container.add(_text_between(self._data, cuts), quote, end)
        return end


class _Container:
    """A list or an object that is being read; the outermost one is a list around the whole, without brackets."""

    __slots__ = ("_data", "_has_added", "_member", "_read", "_taken", "is_object", "start")

    def __init__(self, data: bytes, start: int, *, is_object: bool = False) -> None:
        self._data = data
        self.start = start
        """The position of its bracket."""
        self.is_object = is_object
        self._taken: Any = {} if is_object else []
        self._read = start + 1
        """The position up to which members were decoded."""
        self._member = start + 1
        """The start of the newest member."""
        self._has_added = False
        """Whether the newest member was added as a value of its own."""

    def is_at_name(self, position: int, end: int) -> bool:
        """Whether the text at `position` is a member's name. Raises Malformed for a name that is too large."""
        if not self.is_object or not self._is_blank(self._member, position):
            return False
        if end - position > MAX_TOKEN_BYTES:
            raise Malformed
        return True

    def add(self, value: Any, start: int, end: int) -> None:
        """Adds the newest member's value, which was decoded separately."""
        if self._has_added:
            raise Malformed
        if self._read < self._member:
            self._take_up_to(self._member - 1)
        if self.is_object:
            [name] = decode_whole(b"{%b[]}" % self._data[self._member : start])
            self._taken[name] = value
        elif self._is_blank(self._member, start):
            self._taken.append(value)
        else:
            raise Malformed
        self._has_added = True
        self._read = end

    def end_member(self, comma: int) -> None:
        """Ends a member and begins the next one."""
        if self._has_added or comma - self._read >= PIECE_BYTES:
            self._take_rest(comma)
            self._has_added = False
            self._read = comma + 1
        self._member = comma + 1

    def end(self, bracket: int) -> Any:
        """Ends the container at its bracket, and returns its value."""
        self._take_rest(bracket, may_be_empty=self._read == self.start + 1)
        return self._taken

    def _take_rest(self, end: int, *, may_be_empty: bool = False) -> None:
        if not self._has_added:
            self._take_up_to(end, may_be_empty=may_be_empty)
        elif not self._is_blank(self._read, end):
            raise Malformed

    def _take_up_to(self, end: int, *, may_be_empty: bool = False) -> None:
        """Decodes the members that have not been decoded yet."""
        members = self._data[self._read : end]
        taken = decode_whole(b"{%b}" % members if self.is_object else b"[%b]" % members)
        if not taken and not may_be_empty:
            raise Malformed
        if self.is_object:
            self._taken.update(taken)
        else:
            self._taken.extend(taken)

    def _is_blank(self, start: int, end: int) -> bool:
        return not self._data[start:end].strip(_BLANKS)


def _cuts(data: bytes, start: int) -> list[int]:
    """The positions at which the text from `start` is cut: its start, the end of each slice, its end."""
    cuts = [start]
    while True:
        reached = _end_of_slice(data, start)
        if reached == len(data):
            raise Malformed
        if data[reached] == _QUOTE:
            return [*cuts, reached]
        while data[reached] & 0xC0 == 0x80 and reached > start:
            # Within a UTF-8 character.
            reached -= 1
        if _SECOND_HALF.match(data, reached):
            reached += len("\\uxxxx")
        if reached == start:
            raise Malformed
        cuts.append(reached)
        start = reached


def _end_of_slice(data: bytes, start: int) -> int:
    """The end of a step's whole characters and escapes, or the closing quote."""
    end = min(start + PIECE_BYTES, len(data))
    if data.find(b"\\", start, end) < 0:
        quote = data.find(b'"', start, end)
        return end if quote < 0 else quote
    found = _WHOLE_CHARACTERS.match(data, start, end)
    return found.end() if found else start


def _text_between(data: bytes, cuts: list[int]) -> str:
    """The text between the first and the last cut. A surrogate at a cut in between has no other half."""
    pieces: list[str] = [decode_whole(b'"%b"' % data[start:end]) for start, end in pairwise(cuts)]
    last = len(pieces) - 1
    for number, piece in enumerate(pieces):
        if piece.isascii():
            continue
        if number > 0 and "\udc00" <= piece[0] <= "\udfff":
            piece = "\ufffd" + piece[1:]
        if number < last and "\ud800" <= piece[-1] <= "\udbff":
            piece = piece[:-1] + "\ufffd"
        pieces[number] = piece
    return "".join(pieces)
