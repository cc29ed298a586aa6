"""The pieces of tool calls in a stream → the calls of an Answer.

By protocol `index` distinguishes the calls, and `id` and the name come once, first. Real servers differ: the index may
be missing or be 0 for all calls; ids may be missing, the same for all calls or new in every piece; names may come late,
in pieces or in every piece; and arguments may be repeated. An ambiguous piece is a fault: no call is invented, merged
with another one, or lost silently.
"""

from __future__ import annotations

import itertools
import weakref
from typing import Any

from services.models.providers.answers.answer import MAX_BLOCKS
from services.models.providers.answers.repeated_arguments import find_repetition
from services.models.providers.answers.text_pieces import Pieces
from services.models.providers.answers.values import read_word
from services.models.providers.errors.faults import Fault
from services.models.providers.openai.chat_completions.called import NULL, Called, read_piece
from services.models.providers.openai.chat_completions.chat_answer import ChatAnswer, KeptOfCall
from services.models.providers.openai.common.object_end import ObjectEnd
from services.shared import json_text
from services.shared.json_values import are_same_json

HEAD_LENGTH = len(NULL) + 1
"""Characters of arguments that distinguish an object from null, and from an empty one."""


class StreamedCalls:
    """The calls of one stream, in the order in which they begin; their blocks have the keys from `first_key` on.

    A call is added to the answer once its arguments have begun: before that its name may be incomplete.
    """

    def __init__(self, answer: ChatAnswer, first_key: int) -> None:
        # The answer has these: no cycle is left to collect.
        self._answer: ChatAnswer = weakref.proxy(answer)
        self._first_key = first_key
        self._calls: list[_StreamedCall] = []
        self._given_out = 0
        """The number of calls, from the first one, that were added to the answer."""
        self._by_index: dict[int, _StreamedCall] = {}
        self._by_id: dict[str, _StreamedCall] = {}
        self._newest: _StreamedCall | None = None
        self._repeats = False
        """Whether each piece of arguments repeats all earlier ones."""

    def __bool__(self) -> bool:
        return bool(self._calls)

    def add(self, delta: Any, data: bytes, message: dict[str, Any], place: int) -> None:
        """Adds a piece of a call, which stands at a place in the piece of a message that came in the event `data`.

        Raises Fault for what is none, and where it is unclear which call it is of."""
        called = read_piece(delta)
        index, call_id = _index_of(delta), read_word(delta.get("id"))
        call = self._find(index, call_id, called.name, called.arguments)
        if call is not None and self._is_repeated(call, index, call_id, called):
            return
        if call is None or self._begins_another(call, delta, called):
            call = self._begin(index)
        self._newest = call
        if index is not None:
            self._by_index[index] = call
        if call_id:
            call.id = call.id or call_id
            self._by_id[call_id] = call
        if called.name != call.name:
            call.name = read_word(call.name + called.name)
        call.takes_text = call.takes_text or called.takes_text
        call.kept = self._answer.keep_of_call(call.kept, data, message, place)
        self._add_arguments(call, called.arguments)
        if call.key is not None:
            self._answer.tie_to_call(call.key, call.kept)

    def take_whole(self, calls: list[Any]) -> list[Any]:
        """Completes the streamed calls by those of a whole message, and returns the list of these with None for each
        that is not new, which has the id of a streamed call, or else its place. Raises Fault if one differs from its
        pieces."""
        same_ids = [self._by_id.get(_id_of(call)) for call in calls]
        found = set(same_ids)
        same_places = [None if call in found else call for call in self._calls[: len(calls)]]
        new: list[Any] = []
        for call, same_id, same_place in itertools.zip_longest(calls, same_ids, same_places):
            known = same_id or same_place
            if known is not None and call is not None:
                self._take_rest(known, read_piece(call))
            new.append(call if known is None else None)
        return new

    def _take_rest(self, call: _StreamedCall, whole: Called) -> None:
        """Adds what is missing from the pieces of a call."""
        call.name = call.name or whole.name
        if whole.name not in ("", call.name):
            raise Fault("UPSTREAM_PROTOCOL_ERROR")
        if whole.has_no_arguments:
            return
        earlier = "" if call.awaits_arguments else self._arguments_of(call)
        self._answer.count_compared(earlier, whole.arguments)
        if whole.arguments.startswith(earlier):
            self._add_arguments(call, whole.arguments[len(earlier) :])
        elif not are_same_json(earlier, whole.arguments):
            raise Fault("UPSTREAM_PROTOCOL_ERROR")

    def complete(self) -> None:
        """Adds the remaining calls to the answer, at the end of the stream. `Completion` refuses a call with arguments
        and no name.

        Raises Fault for incomplete arguments that were perhaps sent more than once, also with another id.
        """
        for call in self._calls[self._given_out :]:
            if call.name or not call.is_blank:
                self._give_out(call)
        is_doubtful = any(call.is_doubtful for call in self._calls) and self.has_half
        if is_doubtful or any(call.is_superseded and self._is_half(call) for call in self._calls):
            raise Fault("UPSTREAM_PROTOCOL_ERROR")

    @property
    def has_half(self) -> bool:
        """Whether the arguments of any call are the beginning of an object, and not a whole one."""
        return any(map(self._is_half, self._calls))

    def _is_half(self, call: _StreamedCall) -> bool:
        begins_as_one = call.is_object and not call.takes_text
        return begins_as_one and not json_text.is_object(self._arguments_of(call))

    def _begin(self, index: int | None) -> _StreamedCall:
        if len(self._calls) >= MAX_BLOCKS:
            # The answer limits only the calls that were added to it.
            raise Fault("OUTPUT_LIMIT")
        call = _StreamedCall(len(self._calls), index)
        self._calls.append(call)
        return call

    def _find(self, index: int | None, call_id: str, name: str, arguments: str) -> _StreamedCall | None:
        """The call that a piece belongs to, by its index or its id, or None when it begins one."""
        call = self._newest if index is None else self._by_index.get(index)
        if call is None or not call_id or call.id == call_id:
            return call
        if not call.id and not name:
            # The id came after the name.
            return call
        if call_id in self._by_id:
            return self._by_id[call_id]
        if self._continues(call, name, arguments):
            return call
        call.is_superseded = True
        return None

    def _continues(self, call: _StreamedCall, name: str, arguments: str) -> bool:
        """Whether a piece with a new id continues the arguments of a call: earlier versions of vLLM make a new id for
        every piece."""
        if not arguments.strip() or not call.name or self._is_whole(call):
            return False
        if not name:
            return True
        return name == call.name and not call.is_blank and not arguments.lstrip().startswith("{")

    def _is_repeated(self, call: _StreamedCall, index: int | None, call_id: str, called: Called) -> bool:
        """Whether a piece repeats a whole call, or all of its arguments, as some servers do at the end."""
        if index != call.index or call_id not in ("", call.id):
            return False
        is_call = call_id and called.name == call.name
        is_arguments = index is not None and not called.name and call.name
        # It cannot repeat a text that is much longer; comparing them would take longer with each piece.
        if not (is_call or is_arguments) or not call.seems_whole or call.size > 2 * len(called.arguments):
            return False
        return are_same_json(self._arguments_of(call), called.arguments)

    def _begins_another(self, call: _StreamedCall, delta: dict[str, Any], called: Called) -> bool:
        """Whether a piece that seems to belong to `call` begins another call: some servers give no ids, or one id for
        all calls, while others repeat the name in every piece, or send it in several pieces."""
        if call.is_placeholder and (not called.name or _repeats_name(call, delta, called)):
            return False
        if not called.name or not call.name:
            return called.arguments.lstrip().startswith("{") and self._is_whole(call)
        if called.name == call.name:
            return bool(called.arguments.strip()) and self._is_whole(call)
        if call.is_blank:
            return not _continues_name(call, delta)
        if call.index is None or not call.is_object or self._is_whole(call):
            return True
        if call.key is None:
            return False
        # Either a piece of a name that is in the answer already, or a new call after an incomplete one.
        raise Fault("UPSTREAM_PROTOCOL_ERROR")

    def _is_whole(self, call: _StreamedCall) -> bool:
        """Whether the arguments of a call are a whole object. Its end is searched only when it is needed."""
        if not call.seems_whole:
            return False
        if call.end is None:
            call.end = ObjectEnd()
            call.end.feed(self._arguments_of(call))
        return call.end.is_here

    def _arguments_of(self, call: _StreamedCall) -> str:
        return call.held.text() if call.key is None else self._answer.text_of(call.key)

    def _add_arguments(self, call: _StreamedCall, piece: str) -> None:
        if call.is_placeholder and piece.lstrip().startswith("{"):
            self._answer.waiting_bytes -= call.size
            call.forget_arguments()
        elif call.size and len(piece) >= call.size and piece.startswith("{"):
            piece = self._without_repetition(call, piece)
        if piece:
            call.track(piece)
        if call.key is not None:
            self._answer.add_arguments(call.key, piece)
            return
        call.held.append(piece)
        self._answer.waiting_bytes += len(piece)
        if not call.awaits_arguments:
            self._give_out_up_to(call)

    def _without_repetition(self, call: _StreamedCall, piece: str) -> str:
        """A piece without its repetition of the earlier ones. A server that repeats them once always does."""
        repetition = find_repetition(self._arguments_of(call), piece)
        if repetition is None:
            return piece
        self._repeats = self._repeats or repetition.is_certain
        if not self._repeats:
            call.is_doubtful = True
        return repetition.rest if self._repeats else piece

    def _give_out_up_to(self, call: _StreamedCall) -> None:
        """Adds a call whose arguments have begun to the answer, and the calls before and after it that were held
        back."""
        for other in self._calls[self._given_out :]:
            if not other.name or (other.awaits_arguments and other.place > call.place):
                return
            self._given_out += 1
            self._give_out(other)

    def _give_out(self, call: _StreamedCall) -> None:
        held = call.held.text()
        self._answer.waiting_bytes -= len(held)
        call.held = Pieces()
        call.key = self._answer.open_tool_call(self._first_key, call.id, call.name)
        self._answer.tie_to_call(call.key, call.kept)
        # The answer itself completes a call without arguments by an empty object.
        if not Called(call.name, held, call.takes_text).has_no_arguments:
            self._answer.add_arguments(call.key, held)


class _StreamedCall:
    """A tool call in progress."""

    __slots__ = (
        "_start",
        "end",
        "held",
        "id",
        "index",
        "is_blank",
        "is_doubtful",
        "is_superseded",
        "kept",
        "key",
        "name",
        "place",
        "seems_whole",
        "size",
        "takes_text",
    )

    def __init__(self, place: int, index: int | None) -> None:
        self.place = place
        self.index = index
        self.id = ""
        self.name = ""
        self.takes_text = False
        """Whether its arguments are any text."""
        self.held = Pieces()
        """The arguments so far, until the call is added to the answer."""
        self.key: int | None = None
        """The key of its block, once it was added to the answer."""
        self.size = 0
        """Characters of its arguments, halves of surrogate pairs included."""
        self.is_blank = True
        """Whether its arguments have not begun: white space and `null` are none."""
        self.is_doubtful = False
        """Whether a piece of its arguments perhaps repeated all earlier ones."""
        self.is_superseded = False
        """Whether another call has begun at its index."""
        self.seems_whole = False
        """Whether its arguments end as an object does."""
        self.end: ObjectEnd | None = None
        """The search for the end of its arguments, once it is needed."""
        self.kept: KeptOfCall | None = None
        """Members beyond the protocol in it."""
        self._start = ""

    @property
    def is_object(self) -> bool:
        """Whether its arguments begin as an object does."""
        return self._start.startswith("{")

    @property
    def is_placeholder(self) -> bool:
        """Whether its arguments so far are an empty object, or null, and not in the answer yet: some servers send one
        of these before the arguments."""
        return self.key is None and not self.takes_text and self._start.strip() in ("{}", NULL)

    @property
    def awaits_arguments(self) -> bool:
        """Whether its arguments may be still to come, all of them."""
        return self.is_blank or self.is_placeholder

    def forget_arguments(self) -> None:
        """Removes its arguments so far."""
        self.held, self.size, self._start, self.end = Pieces(), 0, "", None
        self.is_blank, self.seems_whole = True, False

    def track(self, piece: str) -> None:
        """Updates the facts about its arguments by their next piece."""
        self.size += len(piece)
        if self.is_blank:
            self._start = _head(self._start + piece)
            self.is_blank = not self.takes_text and NULL.startswith(self._start.rstrip())
        if tail := piece.rstrip():
            self.seems_whole = tail.endswith("}")
        if self.end:
            self.end.feed(piece)


def _head(text: str) -> str:
    """The beginning of a text that shows its type; the rest may be long, and come in many pieces."""
    words = text.strip()
    return words[:HEAD_LENGTH] if len(words) > HEAD_LENGTH or not text[-1:].isspace() else f"{words} ".lstrip()


def _id_of(call: Any) -> str:
    return read_word(call.get("id")) if isinstance(call, dict) else ""


def _index_of(delta: dict[str, Any]) -> int | None:
    index = delta.get("index")
    if isinstance(index, str) and index.isdecimal():
        index = int(read_word(index))
    return index if isinstance(index, int) else None


def _repeats_name(call: _StreamedCall, delta: dict[str, Any], called: Called) -> bool:
    """Whether a piece with the name and index of a call belongs to it: a server with ids would give another call a new
    id."""
    has_number = _index_of(delta) is not None and call.index is not None
    return has_number and bool(call.id) and called.name == call.name and read_word(delta.get("id")) in ("", call.id)


def _continues_name(call: _StreamedCall, delta: dict[str, Any]) -> bool:
    """Whether a piece with another name continues the name of a call: the first piece of a call has an id or a type."""
    call_id = read_word(delta.get("id"))
    return call_id == call.id if call_id else call.index is not None and not delta.get("type")
