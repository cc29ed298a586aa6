"""The output of a response: parts of an answer → items, and the events that tell of them.

https://platform.openai.com/docs/api-reference/responses-streaming

A whole answer is written by the same steps as a stream, whose events it does not use: so both have the same items.

  message     consecutive texts and refusals; it ends where reasoning or a call begins, or with its opaque state
  reasoning   one summary; likewise
  call        open until its state comes, or the answer ends: pieces of several calls may alternate

OpenAI's own state is the item itself, and takes its place. State of other providers travels in `encrypted_content` of
the reasoning that it is of; that of texts and calls, and state alone, in that of a reasoning item without text.
"""

from __future__ import annotations

import msgspec

from proto import models_pb2
from services.models.faces.responses import ids
from services.models.faces.responses.annotations import annotations_of
from services.models.faces.responses.input_items import OWNER
from services.models.faces.responses.tools import Called, Names
from services.models.faces.state_envelope import Bond, seal
from services.models.providers.lowered_tools import raised_input
from services.models.providers.openai.common.opaque_items import is_answer_item
from services.models.providers.state.member_state import is_wrapped
from services.shared import json_text

encode = msgspec.json.encode

COMPLETED, INCOMPLETE, IN_PROGRESS = "completed", "incomplete", "in_progress"

ITEM_KINDS = {
    "message": ids.MESSAGE,
    "reasoning": ids.REASONING,
    "function_call": ids.FUNCTION_CALL,
    "custom_tool_call": ids.CUSTOM_CALL,
}
"""Items that arrive in pieces, each with the kind of its id."""


class _Item:
    """An item that has begun."""

    def __init__(self, kind: str, call: str, index: int) -> None:
        self.kind = kind
        self.index = index
        self.id = ids.item_id(ITEM_KINDS[kind], call, index)
        self.written_id = self.id.encode()
        self.pieces: list[str] = []
        """Those of its newest text."""


class _Message(_Item):
    def __init__(self, call: str, index: int) -> None:
        super().__init__("message", call, index)
        self.contents: list[bytes] = []
        """The parts that are complete."""
        self.annotations: list[bytes] = []
        self.logprobs: list[bytes] = []
        """Those of the open part."""


class _Call(_Item):
    def __init__(self, call: str, index: int, call_id: str, called: Called) -> None:
        super().__init__("custom_tool_call" if called.is_custom else "function_call", call, index)
        self.call_id = call_id
        self.called = called
        event = "custom_tool_call_input" if called.is_custom else "function_call_arguments"
        self.delta = _Delta(f"response.{event}.delta", self)
        self.is_held = called.is_custom
        """Whether pieces are held back, because they may be the arguments of a function in place of a text."""
        self.has_begun = False
        """Whether a held piece was more than white space."""


class _Delta:
    """The constant bytes of the events of one text: what stands before a piece, and behind it."""

    def __init__(self, event: str, item: _Item, place: str = "", more: str = "") -> None:
        where = f'"item_id":"{item.id}","output_index":{item.index}{place}'
        self.head = f'event: {event}\ndata: {{"type":"{event}",{where},"delta":'.encode()
        self.tail = f'{more},"sequence_number":'.encode()


class Output:
    """The output of one answer. Methods return the events of what they add."""

    def __init__(self, call: str, names: Names) -> None:
        self.number = 0
        """The number of the next event."""
        self.has_refusal = False
        """Whether an item is the model's refusal in its own words."""
        self._call = call
        self._names = names
        self._items: dict[int, bytes] = {}
        """The items that are complete, by their places."""
        self._begun = 0
        self._message: _Message | None = None
        self._thought: _Item | None = None
        """The message or the reasoning that is open; at most one is."""
        self._delta: _Delta | None = None
        """That of the text that is open in it."""
        self._calls: dict[int, _Call] = {}
        """The calls that are open, by their places in the answer."""
        self._call_ids: set[str] = set()
        self._newest_own = b""

    def items(self) -> bytes:
        """The items that are complete, as a JSON list."""
        return b"[" + b",".join(self._items[index] for index in sorted(self._items)) + b"]"

    # ------------------------------------------------------------------------------------------------- in pieces

    def text(self, piece: str) -> bytes:
        """A piece of text."""
        message, delta = self._message, self._delta
        if message is None or delta is None:
            return self._begin_text() + self.text(piece)
        message.pieces.append(piece)
        return self._piece(delta, piece)

    def text_with_logprobs(self, piece: str, logprobs: models_pb2.Logprobs) -> bytes:
        """A piece of text with the logprobs of its tokens."""
        message = self._message
        if message is None or self._delta is None:
            return self._begin_text() + self.text_with_logprobs(piece, logprobs)
        written = [_logprob(token) for token in (*logprobs.content, *logprobs.refusal)]
        message.logprobs.extend(written)
        message.pieces.append(piece)
        at = b'"content_index":%d' % len(message.contents)
        fields = b'%b,"delta":%b,"logprobs":[%b]' % (at, encode(piece), b",".join(written))
        return self._of_item("response.output_text.delta", message, fields)

    def thought(self, piece: str) -> bytes:
        """A piece of reasoning."""
        thought, delta = self._thought, self._delta
        if thought is None or delta is None:
            return self._begin_thought() + self.thought(piece)
        thought.pieces.append(piece)
        return self._piece(delta, piece)

    def call(self, piece: models_pb2.ToolCallDelta) -> bytes:
        """A piece of a tool call."""
        call = self._calls.get(piece.index)
        events = b""
        if call is None:
            call = self._make_call(piece)
            events = self._end_open() + self._added(call, _call(call, "", IN_PROGRESS))
        arguments = piece.arguments_json
        if not arguments:
            return events
        call.pieces.append(arguments)
        return events + (self._release(call, arguments) if call.is_held else self._piece(call.delta, arguments))

    def _make_call(self, piece: models_pb2.ToolCallDelta) -> _Call:
        # The open item comes before it.
        called = self._names.get(piece.name) or Called(piece.name)
        call = self._calls[piece.index] = _Call(self._call, self._next_index(), piece.id, called)
        self._call_ids.add(piece.id)
        return call

    def _release(self, call: _Call, newest: str) -> bytes:
        """Sends the held pieces of a custom tool's call if they cannot be arguments: these are an object."""
        start = newest.lstrip()
        if call.has_begun or not start:
            return b""
        call.has_begun = True
        if start.startswith("{"):
            return b""
        call.is_held = False
        return self._piece(call.delta, "".join(call.pieces))

    # ---------------------------------------------------------------------------------------------- complete parts

    def part(self, part: models_pb2.ContentPart) -> bytes:
        """A part that is complete, after its pieces if it has come in some: a refusal, or one with opaque state."""
        state = part.provider_state
        if is_native(part):
            return self._own_item(part, state.data)
        kind = part.WhichOneof("kind")
        events = self._refuse(part.refusal) if kind == "refusal" else b""
        if not part.HasField("provider_state"):
            return events
        if kind == "reasoning":
            return self._end_thought(seal(state))
        if kind is None:
            return self._end_open() + self._sealed(seal(state, Bond.ALONE))
        sealed = seal(state, Bond.BEFORE)
        if kind == "tool_call":
            events = self._end_call_of(part.tool_call.id)
            sealed = f"{sealed}.{part.tool_call.id}"
        else:
            self.cite(part.citations_json)
        return events + self._end_open() + self._sealed(sealed)

    def cite(self, citations_json: str) -> None:
        """Adds the sources of the text that is open."""
        if citations_json and self._message is not None:
            length = sum(map(len, self._message.pieces))
            self._message.annotations = annotations_of(citations_json, length)

    def end(self, status: str) -> bytes:
        """Ends what is open. The status is that of the whole answer, and so of its last item."""
        last = self._begun - 1
        is_last = self._message is not None and self._message.index == last
        events = [self._end_open(status if is_last else COMPLETED)]
        for place in sorted(self._calls):
            call = self._calls[place]
            events.append(self._end_call(call, status if call.index == last else COMPLETED))
        self._calls.clear()
        return b"".join(events)

    # --------------------------------------------------------------------------------------------------- messages

    def _begin_text(self) -> bytes:
        begun, message = self._begin_message()
        content = len(message.contents)
        message.pieces, message.annotations, message.logprobs = [], [], []
        place = f',"content_index":{content}'
        self._delta = _Delta("response.output_text.delta", message, place, ',"logprobs":[]')
        part = b'"content_index":%d,"part":{"type":"output_text","text":"","annotations":[],"logprobs":[]}' % content
        return begun + self._of_item("response.content_part.added", message, part)

    def _begin_message(self) -> tuple[bytes, _Message]:
        """The message that is open, and the events of its beginning if it was not open yet."""
        message = self._message
        if message is not None:
            return b"", message
        events = self._end_open()
        message = self._message = _Message(self._call, self._next_index())
        return events + self._added(message, _message(message, IN_PROGRESS)), message

    def _end_text(self, message: _Message) -> bytes:
        """Ends the text that is open in a message, if one is."""
        if self._delta is None:
            return b""
        self._delta = None
        at, text = b'"content_index":%d' % len(message.contents), encode("".join(message.pieces))
        events = b"".join(
            self._of_item(
                "response.output_text.annotation.added",
                message,
                b'%b,"annotation_index":%d,"annotation":%b' % (at, number, annotation),
            )
            for number, annotation in enumerate(message.annotations)
        )
        annotations, logprobs = b",".join(message.annotations), b",".join(message.logprobs)
        form = b'{"type":"output_text","text":%b,"annotations":[%b],"logprobs":[%b]}'
        part = form % (text, annotations, logprobs)
        message.contents.append(part)
        done = b'%b,"text":%b,"logprobs":[%b]' % (at, text, logprobs)
        events += self._of_item("response.output_text.done", message, done)
        return events + self._of_item("response.content_part.done", message, b'%b,"part":%b' % (at, part))

    def _refuse(self, refusal: str) -> bytes:
        events, message = self._begin_message()
        events += self._end_text(message)
        self.has_refusal = True
        at, text = b'"content_index":%d' % len(message.contents), encode(refusal)
        part = b'{"type":"refusal","refusal":%b}' % text
        message.contents.append(part)
        for event, fields in (
            ("response.content_part.added", b'%b,"part":{"type":"refusal","refusal":""}' % at),
            ("response.refusal.delta", b'%b,"delta":%b' % (at, text)),
            ("response.refusal.done", b'%b,"refusal":%b' % (at, text)),
            ("response.content_part.done", b'%b,"part":%b' % (at, part)),
        ):
            events += self._of_item(event, message, fields)
        return events

    # -------------------------------------------------------------------------------------------------- reasoning

    def _begin_thought(self) -> bytes:
        events = self._end_open()
        thought = self._thought = _Item("reasoning", self._call, self._next_index())
        self._delta = _Delta("response.reasoning_summary_text.delta", thought, ',"summary_index":0')
        events += self._added(thought, _reasoning(thought))
        part = b'"summary_index":0,"part":{"type":"summary_text","text":""}'
        return events + self._of_item("response.reasoning_summary_part.added", thought, part)

    def _end_summary(self, thought: _Item) -> tuple[bytes, bytes]:
        """The events that end the text of reasoning, and the text as it is in the item."""
        self._delta = None
        text = encode("".join(thought.pieces))
        part = b'{"type":"summary_text","text":%b}' % text
        events = self._of_item("response.reasoning_summary_text.done", thought, b'"summary_index":0,"text":%b' % text)
        fields = b'"summary_index":0,"part":%b' % part
        return events + self._of_item("response.reasoning_summary_part.done", thought, fields), part

    def _end_thought(self, sealed: str) -> bytes:
        """Ends reasoning with its state."""
        thought = self._thought
        if thought is None:
            return self._end_open() + self._sealed(sealed)
        self._thought = None
        events, summary = self._end_summary(thought)
        return events + self._done(thought, _reasoning(thought, summary, sealed=sealed))

    def _sealed(self, sealed: str) -> bytes:
        """An item of reasoning that has only state."""
        thought = _Item("reasoning", self._call, self._next_index())
        return self._added(thought, _reasoning(thought)) + self._done(thought, _reasoning(thought, sealed=sealed))

    # ------------------------------------------------------------------------------------------------------ calls

    def _end_call(self, call: _Call, status: str, own: bytes = b"") -> bytes:
        """Ends a call; `own` is the item in OpenAI's form, if OpenAI has made it."""
        given = "".join(call.pieces)
        events = b""
        if call.is_held:
            given = given if own else raised_input(given)
            events = self._piece(call.delta, given) if given else b""
        if call.called.is_custom:
            events += self._of_item("response.custom_tool_call_input.done", call, b'"input":%b' % encode(given))
        else:
            fields = b'"arguments":%b,"name":%b' % (encode(given), encode(call.called.name))
            events += self._of_item("response.function_call_arguments.done", call, fields)
        return events + self._done(call, own or _call(call, given, status))

    def _end_call_of(self, call_id: str) -> bytes:
        """Ends the call with an id, if it is open."""
        call = self._take_call(call_id)
        return b"" if call is None else self._end_call(call, COMPLETED)

    def _take_call(self, call_id: str) -> _Call | None:
        for place, call in self._calls.items():
            if call.call_id == call_id:
                return self._calls.pop(place)
        return None

    # ---------------------------------------------------------------------------------------- items of OpenAI's own

    def _own_item(self, part: models_pb2.ContentPart, own: bytes) -> bytes:
        """Ends the item of a part that OpenAI has made, in OpenAI's form. An item of several parts comes once."""
        if own == self._newest_own:
            return b""
        self._newest_own = own
        self.has_refusal = self.has_refusal or bool(part.refusal)
        if part.HasField("tool_call"):
            return self._own_call(part.tool_call.id, own)
        message, thought = self._message, self._thought
        if message is not None and (part.text or part.refusal):
            self._message = None
            return self._end_text(message) + self._done(message, _with_id(own, message.id))
        if thought is not None and part.HasField("reasoning"):
            self._thought = None
            return self._end_summary(thought)[0] + self._done(thought, _with_id(own, thought.id))
        return self._end_open() + self._whole_item(own)

    def _own_call(self, call_id: str, own: bytes) -> bytes:
        call = self._take_call(call_id)
        if call is not None:
            return self._end_call(call, COMPLETED, _with_id(own, call.id))
        return b"" if call_id in self._call_ids else self._end_open() + self._whole_item(own)

    def _whole_item(self, own: bytes) -> bytes:
        """An item that came in no pieces, with its own id."""
        index = self._next_index()
        self._items[index] = own
        fields = b'"output_index":%d,"item":%b' % (index, own)
        return self._event("response.output_item.added", fields) + self._event("response.output_item.done", fields)

    # ----------------------------------------------------------------------------------------------------- events

    def _end_open(self, status: str = COMPLETED) -> bytes:
        """Ends the message or the reasoning that is open, if one is."""
        message, thought = self._message, self._thought
        self._message = self._thought = None
        if message is not None:
            return self._end_text(message) + self._done(message, _message(message, status))
        if thought is not None:
            events, summary = self._end_summary(thought)
            return events + self._done(thought, _reasoning(thought, summary))
        return b""

    def _next_index(self) -> int:
        index = self._begun
        self._begun = index + 1
        return index

    def _added(self, item: _Item, written: bytes) -> bytes:
        return self._event("response.output_item.added", b'"output_index":%d,"item":%b' % (item.index, written))

    def _done(self, item: _Item, written: bytes) -> bytes:
        self._items[item.index] = written
        return self._event("response.output_item.done", b'"output_index":%d,"item":%b' % (item.index, written))

    def _of_item(self, event: str, item: _Item, fields: bytes) -> bytes:
        return self._event(event, b'"item_id":"%b","output_index":%d,%b' % (item.written_id, item.index, fields))

    def _piece(self, delta: _Delta, piece: str) -> bytes:
        number = self.number
        self.number = number + 1
        return b"%b%b%b%d}\n\n" % (delta.head, encode(piece), delta.tail, number)

    def _event(self, name: str, fields: bytes) -> bytes:
        number = self.number
        self.number = number + 1
        return write_event(name, fields, number)


# ---------------------------------------------------------------------------------------------------- forms of items


def write_event(name: str, fields: bytes, number: int) -> bytes:
    """An event as it is sent."""
    written = name.encode()
    return b'event: %b\ndata: {"type":"%b",%b,"sequence_number":%d}\n\n' % (written, written, fields, number)


def is_native(part: models_pb2.ContentPart) -> bool:
    """Whether the state of a part is an item of OpenAI's own."""
    state = part.provider_state
    return state.provider == OWNER and not is_wrapped(part) and is_answer_item(state.data)


def _message(item: _Message, status: str) -> bytes:
    contents = b",".join(item.contents)
    form = b'{"type":"message","id":"%b","status":"%b","role":"assistant","content":[%b]}'
    return form % (item.written_id, status.encode(), contents)


def _reasoning(item: _Item, summary: bytes = b"", *, sealed: str = "") -> bytes:
    state = b',"encrypted_content":%b' % encode(sealed) if sealed else b""
    return b'{"type":"reasoning","id":"%b","summary":[%b]%b}' % (item.written_id, summary, state)


def _call(call: _Call, given: str, status: str) -> bytes:
    called = call.called
    namespace = b',"namespace":%b' % encode(called.namespace) if called.namespace else b""
    form = b'{"type":"%b","id":"%b","status":"%b","call_id":%b,"name":%b%b,"%b":%b}'
    return form % (
        call.kind.encode(),
        call.written_id,
        status.encode(),
        encode(call.call_id),
        encode(called.name),
        namespace,
        b"input" if called.is_custom else b"arguments",
        encode(given),
    )


def _with_id(own: bytes, item_id: str) -> bytes:
    """An item of OpenAI's with the id that its first event had."""
    return json_text.encode({**json_text.raw_members(own.decode()), "id": item_id})


def _logprob(token: models_pb2.TokenLogprob) -> bytes:
    likeliest = [_token(other) for other in token.top_logprobs]
    return encode({**_token(token), "top_logprobs": likeliest})


def _token(token: models_pb2.TokenLogprob | models_pb2.TopLogprob) -> dict[str, object]:
    return {
        "token": token.token,
        "logprob": token.logprob if token.HasField("logprob") else None,
        "bytes": list(token.token_bytes) if token.HasField("token_bytes") else [],
    }
