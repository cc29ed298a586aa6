"""The pieces of tool calls in a stream → the calls of an Answer.

By protocol `index` distinguishes the calls, and `id` and the name come once, first. In the wild the index may be
missing or be 0 for all, ids may be missing, the same for all or another one with every piece, names may come late, in
pieces or with every piece, and arguments once more. What can be read in two ways is a fault: no call is invented,
merged or lost in silence.
"""

from __future__ import annotations

import itertools
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

    A call is given out once its arguments have begun: before that its name may not be whole.
    """

    def __init__(self, answer: ChatAnswer, first_key: int) -> None:
        self._answer = answer
        self._first_key = first_key
        self._calls: list[_StreamedCall] = []
        self._given_out = 0
        """The number of calls, from the first on, that the answer has."""
        self._by_index: dict[int, _StreamedCall] = {}
        self._by_id: dict[str, _StreamedCall] = {}
        self._newest: _StreamedCall | None = None
        self._repeats = False
        """Whether pieces of arguments have all of them so far."""

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
        """Takes what the pieces lack of a whole message's calls, and returns these with None in place of all
        that are not new: those of the same id, or else at the same place. Raises Fault where one says something else
        than its pieces."""
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
        """Takes what the pieces of a call lack."""
        call.name = call.name or whole.name
        if whole.name not in ("", call.name):
            raise Fault("UPSTREAM_PROTOCOL_ERROR")
        if whole.has_no_arguments:
            return
        earlier = "" if call.has_nothing else self._arguments_of(call)
        self._answer.count_compared(earlier, whole.arguments)
        if whole.arguments.startswith(earlier):
            self._add_arguments(call, whole.arguments[len(earlier) :])
        elif not are_same_json(earlier, whole.arguments):
            raise Fault("UPSTREAM_PROTOCOL_ERROR")

    def complete(self) -> None:
        """Tells the answer of all calls: nothing more comes. One that has arguments and no name is refused there.

        Raises Fault for one whose arguments were perhaps sent more than once, also with another id, and are not
        whole."""
        for call in self._calls[self._given_out :]:
            if call.name or not call.is_blank:
                self._give_out(call)
        self._given_out = len(self._calls)
        is_doubtful = any(call.is_doubtful for call in self._calls) and self.has_half
        if is_doubtful or any(call.is_left and self._is_half(call) for call in self._calls):
            raise Fault("UPSTREAM_PROTOCOL_ERROR")

    @property
    def has_half(self) -> bool:
        """Whether the arguments of a call have begun as an object, and have not ended as one."""
        return any(map(self._is_half, self._calls))

    def _is_half(self, call: _StreamedCall) -> bool:
        begins_as_one = call.is_object and not call.takes_text
        return begins_as_one and not json_text.is_object(self._arguments_of(call))

    def _begin(self, index: int | None) -> _StreamedCall:
        if len(self._calls) >= MAX_BLOCKS:
            # Those that the answer does not know are no blocks of it yet.
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
            # Its id came late.
            return call
        if call_id in self._by_id:
            return self._by_id[call_id]
        if self._goes_on(call, name, arguments):
            return call
        call.is_left = True
        return None

    def _goes_on(self, call: _StreamedCall, name: str, arguments: str) -> bool:
        """Whether a piece with an id of its own has the next of a call's arguments: earlier versions of vLLM make a new
        id for every piece."""
        if not arguments.strip() or not call.name or self._is_whole(call):
            return False
        if not name:
            return True
        return name == call.name and not call.is_blank and not arguments.lstrip().startswith("{")

    def _is_repeated(self, call: _StreamedCall, index: int | None, call_id: str, called: Called) -> bool:
        """Whether a piece is all of a call once more, or of its arguments, as some servers send it at the end."""
        if index != call.index or call_id not in ("", call.id):
            return False
        is_call = call_id and called.name == call.name
        is_arguments = index is not None and not called.name and call.name
        # Of a text that is much longer, as it came, it is but a piece: to look would take longer with every one.
        if not (is_call or is_arguments) or not call.seems_whole or call.size > 2 * len(called.arguments):
            return False
        return are_same_json(self._arguments_of(call), called.arguments)

    def _begins_another(self, call: _StreamedCall, delta: dict[str, Any], called: Called) -> bool:
        """Whether a piece of what seems to be `call` begins one of its own: some servers give no ids at all, or one for
        all, while others repeat the name in every piece, or send it in several."""
        if call.is_placeholder and (not called.name or _names_again(call, delta, called)):
            return False
        if not called.name or not call.name:
            return called.arguments.lstrip().startswith("{") and self._is_whole(call)
        if called.name == call.name:
            return bool(called.arguments.strip()) and self._is_whole(call)
        if call.is_blank:
            return not _names_on(call, delta)
        if call.index is None or not call.is_object or self._is_whole(call):
            return True
        if call.key is None:
            return False
        # A piece of a name that was given out already, or a call behind one of which half is missing.
        raise Fault("UPSTREAM_PROTOCOL_ERROR")

    def _is_whole(self, call: _StreamedCall) -> bool:
        """Whether its arguments are an object to its end, which is looked for only where it matters."""
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
            call.look_at(piece)
        if call.key is not None:
            self._answer.add_arguments(call.key, piece)
            return
        call.held.append(piece)
        self._answer.waiting_bytes += len(piece)
        if not call.has_nothing:
            self._give_out_up_to(call)

    def _without_repetition(self, call: _StreamedCall, piece: str) -> str:
        """A piece without the repetition of those before it. A server that does so once always does."""
        repetition = find_repetition(self._arguments_of(call), piece)
        if repetition is None:
            return piece
        self._repeats = self._repeats or repetition.is_certain
        if not self._repeats:
            call.is_doubtful = True
        return repetition.rest if self._repeats else piece

    def _give_out_up_to(self, call: _StreamedCall) -> None:
        """Gives out a call whose arguments have begun, and those around it that waited for its name, in order."""
        for other in self._calls[self._given_out :]:
            if not other.name or (other.has_nothing and other.place > call.place):
                return
            self._given_out += 1
            self._give_out(other)

    def _give_out(self, call: _StreamedCall) -> None:
        held = call.held.text()
        self._answer.waiting_bytes -= len(held)
        call.held = Pieces()
        call.key = self._answer.open_tool_call(self._first_key, call.id, call.name)
        self._answer.tie_to_call(call.key, call.kept)
        # Of a call without any the answer makes an empty object.
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
        "is_left",
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
        """Its arguments, as they came, until the answer knows it."""
        self.key: int | None = None
        """Its block in the answer, once that knows it."""
        self.size = 0
        """Characters of its arguments, halves of surrogate pairs included."""
        self.is_blank = True
        """Whether its arguments have not begun: white space and `null` are none."""
        self.is_doubtful = False
        """Whether a piece of its arguments was perhaps all of them once more."""
        self.is_left = False
        """Whether another call has begun in its place."""
        self.seems_whole = False
        """Whether its arguments end as an object does."""
        self.end: ObjectEnd | None = None
        """The index at which its arguments end, once that matters."""
        self.kept: KeptOfCall | None = None
        """Members beyond the protocol in it."""
        self._start = ""

    @property
    def is_object(self) -> bool:
        """Whether its arguments begin as an object does."""
        return self._start.startswith("{")

    @property
    def is_placeholder(self) -> bool:
        """Whether what has come of its arguments is an empty object, or null, which the answer does not know yet: some
        servers send one first, and then the arguments."""
        return self.key is None and not self.takes_text and self._start.strip() in ("{}", NULL)

    @property
    def has_nothing(self) -> bool:
        """Whether what is to come may be all of its arguments."""
        return self.is_blank or self.is_placeholder

    def forget_arguments(self) -> None:
        """Takes back what has come of its arguments."""
        self.held, self.size, self._start, self.end = Pieces(), 0, "", None
        self.is_blank, self.seems_whole = True, False

    def look_at(self, piece: str) -> None:
        """Sees the next piece of its arguments."""
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


def _names_again(call: _StreamedCall, delta: dict[str, Any], called: Called) -> bool:
    """Whether a piece with the name and the number of a call is one of it: a server that gives ids would give another
    call one of its own."""
    has_number = _index_of(delta) is not None and call.index is not None
    return has_number and bool(call.id) and called.name == call.name and read_word(delta.get("id")) in ("", call.id)


def _names_on(call: _StreamedCall, delta: dict[str, Any]) -> bool:
    """Whether a piece with another name has the next piece of a call's: one that begins a call has an id or a type."""
    call_id = read_word(delta.get("id"))
    return call_id == call.id if call_id else call.index is not None and not delta.get("type")
