"""The contract of a provider adapter.

An adapter is three things, kept apart:

  reaching the provider   a `Target`: URL, headers, the model's id there. Made by routing, for each call.
  what the model takes    `ModelFacts`: data from the catalogue, never an `if` in an adapter.
  translating             a `Dialect`: pure functions between protobuf messages and the provider's JSON, and a
                          `Decoder` that is fed a stream's events. No I/O, no clock, no state but the decoder's.

`chat.py` drives any dialect through the two verbs, `chat` and `chat_stream`, over the one exchange of `client.py`.
What a dialect promises:

  * Nothing is lost silently. Content that the dialect has no form for is named in the warnings, or refused.
  * Zero is sent as zero; what is unset is not sent.
  * Both verbs build the same `Answer`, so the same answer gives the same ChatResponse whichever way it came.
  * A stream is complete only when the provider said so, by its own terminal marker.
  * Unknown fields, events and words cause no error: an unknown finish reason becomes `other`, with the raw word kept.
  * A provider's own text leaves the adapter in an error only as `Fault.message`, which is made fit for callers.

Adding a provider that speaks a dialect which is already here is a row (a registration); a new dialect is a package
beside `openai` and `anthropic`, and a module in `tests/wire/speeches`.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import NamedTuple, Protocol

from proto import models_pb2
from services.models.providers.answers.answer import Answer
from services.models.providers.errors.faults import Fault
from services.models.providers.facts import ModelFacts
from services.models.providers.http_request import HttpRequest
from services.models.providers.names import CallIdRules, ToolNameRules
from services.models.providers.schemas.fitting import work_to_fit
from services.models.providers.schemas.repairs import work_to_repair
from services.models.providers.timeouts import NO_TIMEOUTS, Timeouts
from services.models.transport.sse import Event
from services.models.validation.work import JSON_WORK, MESSAGE_WORK, PART_WORK, UNCHECKED, Contents, texts_of_tool
from services.shared.offload import LARGE_BYTES


class PricedUsage(Protocol):
    """A usage, as far as its price depends on it: a message, or the same numbers."""

    @property
    def prompt_tokens(self) -> int: ...

    @property
    def completion_tokens(self) -> int: ...

    @property
    def cached_prompt_tokens(self) -> int: ...

    @property
    def cache_write_tokens(self) -> int: ...

    @property
    def long_cache_write_tokens(self) -> int: ...


@dataclass(frozen=True, slots=True)
class Target:
    """The place where one call goes: server, model, keys and what is known of them."""

    dialect: Dialect
    provider: str
    """The provider's name, as in ChatResponse.provider."""
    model: str
    """The model's id at the provider."""
    endpoint: str
    """The base URL, up to and including the version path, without a slash at its end."""
    headers: Mapping[str, str]
    facts: ModelFacts
    state_owner: str = ""
    """The owner of the opaque state that this server takes back, as in ContentPart.provider_state.provider of its
    answers."""
    default_options_json: str = ""
    """A JSON object that is merged under the request body."""
    streams_unary: bool = False
    """True for servers that notice only during a stream that their caller has left, and otherwise generate to the end:
    Chat is sent to them as a stream, too."""
    can_stream: bool = True
    """False for a server without streams: a stream is then one whole answer."""
    price: Callable[[PricedUsage], int | None] | None = None
    """The cost of a usage in nano-USD; None if it is unknown."""
    warnings: Sequence[models_pb2.Notice] = field(default=())
    """Warnings of routing for the caller, such as a replacement."""
    source: models_pb2.ModelSource = models_pb2.MODEL_SOURCE_UNSPECIFIED
    """The origin of the model's entry in the platform."""
    registered_model: str = ""
    """The name of the registration that leads here, if one does."""
    untrusted: bool = False
    """Whether a stranger has registered it."""
    host_is_public: bool = False
    """Whether its host is a vendor's own, which every caller may know."""
    other_roots: Sequence[str] = ()
    """Other base URLs at which the API may lie, if it is not at `endpoint`."""
    secrets: Collection[str] = ()
    """The keys, and the names of accounts, in the headers."""
    timeouts: Timeouts = NO_TIMEOUTS
    """Timeouts of an exchange, where they are not the platform's own."""
    is_hurried: bool = False
    """Whether the request has set a timeout that is shorter than the operator's: that it passes says nothing of the
    server."""
    limited_by: Sequence[str] = ()
    """The names, of its model and its provider, under which the operator bounds the requests in flight."""
    other_keys: Callable[[], Collection[str]] = list
    """The keys of the platform that are not this server's."""

    @property
    def api_roots(self) -> Sequence[str]:
        """The base URLs that it may have, the likeliest first."""
        return (self.endpoint, *self.other_roots)

    def keys(self) -> list[str]:
        """All keys, which no error may quote, whichever server it comes from."""
        return [*self.secrets, *self.other_keys()]


HISTORY_FIELD = "session_id"
"""The request field that the earlier messages of a session come through."""


class Forwarded(NamedTuple):
    """The body of a request in a provider's own dialect, as its client has written it."""

    wire: str
    """The dialect's name among the faces: `chat_completions`, `responses` or `messages`."""
    body: bytes
    headers: Mapping[str, str]
    """The client's header fields that belong to the dialect, such as `anthropic-beta`."""
    asks_for_usage: bool = True
    """Whether the answer has the usage without being asked for it by the platform."""
    has_tools: bool = False


@dataclass(slots=True)
class Conversation:
    """A conversation to encode: the request, with its messages as they go out (a system prompt put first)."""

    request: models_pb2.ChatRequest
    messages: Sequence[models_pb2.ChatMessage]
    added: Sequence[str] = ()
    """The request fields that the first messages came through, if they are not the request's own messages."""
    contents: Contents = UNCHECKED
    paths: Sequence[str] = ()
    """The path of every message, if some were added, moved or left out."""
    forwarded: Forwarded | None = None
    """The body that has the messages, where it goes out as it is; `messages` are then empty."""

    def work(self) -> int:
        """The estimated work to encode the conversation, in bytes of plain text."""
        request = self.request
        size = request.ByteSize()
        if self.added:
            size += sum(message.ByteSize() for message in self.messages[: len(self.added)])
        work = size + MESSAGE_WORK * len(self.messages) + PART_WORK * self.contents.parts
        if self.contents.parts and work < LARGE_BYTES:
            work += JSON_WORK * self._state_bytes()
        if request.tools:
            work += sum(
                (work_to_fit if tool.strict else work_to_repair)(tool.parameters_json) for tool in request.tools
            )
            work += JSON_WORK * sum(
                len(text) for tool in request.tools for text in islice(texts_of_tool(tool), 1, None)
            )
        if request.HasField("response_format"):
            work += work_to_fit(request.response_format.schema_json)
        if request.provider_options_json:
            work += JSON_WORK * sum(map(len, request.provider_options_json.values()))
        return work

    def _state_bytes(self) -> int:
        """Bytes of the opaque state of all parts, which is read as JSON where it goes back to its owner."""
        return sum(len(part.provider_state.data) for message in self.messages for part in message.parts)

    def numbered(self) -> Iterator[tuple[str, models_pb2.ChatMessage]]:
        """Each message with its path in the caller's request."""
        if self.paths:
            yield from zip(self.paths, self.messages, strict=True)
            return
        first = len(self.added)
        for index, message in enumerate(self.messages):
            yield f"messages[{index - first}]" if index >= first else self.added[index], message


class Encoded(NamedTuple):
    """A chat as an HTTP request, and the notices of its translation."""

    request: HttpRequest
    notices: list[models_pb2.Notice]
    streams: bool
    """True if it asks for a stream, as a dialect may for a whole answer that takes long."""
    tool_names: Mapping[str, str] = {}
    """The caller's name for each tool that the provider knows by another one."""


class HistoryRules(NamedTuple):
    """Rules of a provider for earlier messages, unless the facts of a model say otherwise."""

    call_ids: CallIdRules | None = None
    """Rules for ids of tool calls; None if any id is taken."""
    tool_names: ToolNameRules | None = None
    """Rules for names of tools; None if any name is taken."""
    object_arguments: bool = True
    """Whether the arguments of calls must be JSON objects."""
    arguments_in_state: bool = True
    """Whether a call that the provider made goes back in its own form, with the arguments that it has there."""
    openai_tools: bool = False
    """True where the kinds of tools that OpenAI's Responses has are taken as they are. For others they become
    functions."""


class Decoder(Protocol):
    """Turns the events of one stream into an answer. Fed any split of the same events it ends in the same answer."""

    answer: Answer
    finished: bool
    """The provider has said that the answer is whole."""
    ended: bool
    """The provider has said that nothing more comes, usage included."""
    awaits_usage: bool
    """The answer is whole, and its end did not come too early to be reliable: only its usage may be missing."""

    def feed(self, events: Sequence[Event]) -> None:
        """Adds the events to the answer. Raises `Fault` for an error event, or for one that is not of the dialect."""


class Native(NamedTuple):
    """The dialect in which a server takes a forwarded body, and its path there."""

    dialect: Dialect
    path: str
    counting_path: str = ""
    """The path at which the tokens of the same body are counted; empty where they are not."""


class Dialect(Protocol):
    """The wire format of one family of providers."""

    name: str
    """The key of ChatRequest.provider_options_json."""

    @property
    def history(self) -> HistoryRules:
        """Its rules for earlier messages."""

    @property
    def reserved_members(self) -> frozenset[str]:
        """The members of a body that only the platform writes, those within another as `a.b`: options that set one are
        refused."""

    def select(self, conversation: Conversation, target: Target) -> Dialect:
        """The dialect of the same provider that carries this conversation: nearly always this one."""

    def native(self, forwarded: Forwarded, target: Target) -> Native | None:
        """The dialect of the same provider that a body is written in; None where it must be translated."""

    def encode(self, conversation: Conversation, target: Target, *, stream: bool) -> Encoded:
        """The HTTP request: path, headers and body may depend on the model, and on `stream`.

        Raises InvalidRequest or Unimplemented for content that the dialect has no form for.
        """

    def counting_request(self, conversation: Conversation, target: Target) -> HttpRequest | None:
        """The request that counts the tokens of the conversation, which its server answers for free; None for servers
        without one. Raises as `encode` does."""

    def read(self, body: bytes) -> Answer:
        """The answer in the body of a 200. Raises `Fault` for a body that is not an answer."""

    def decoder(self) -> Decoder:
        """A decoder for one stream."""

    def fault(self, status: int, body: bytes) -> Fault:
        """The fault in the body of an error response."""
