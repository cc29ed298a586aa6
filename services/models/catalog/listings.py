"""Listings: the formats in which APIs list their models, and the facts in them.

Sources: `openai.types.Model` of openai 3.54 (with `shutdown_date`), `anthropic.types.ModelInfo` of anthropic 2.12,
`ModelCard` in vLLM's vllm/entrypoints/openai (`max_model_len`), and `get_res_model_info` in llama.cpp's tools/server
(`meta.n_ctx`). A missing or mistyped member counts as not listed, so that a list does not fail for one entry.
"""

from __future__ import annotations

import datetime
import itertools
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeAlias

from proto.models_pb2 import ModelCapabilities
from services.models.catalog.lifecycle import UNKNOWN, State
from services.models.providers.facts import ModelKind
from services.shared import json_text

MAX_TOKENS = 2**31 - 1

MAX_NEXT_PAGE_LENGTH = 1024

MAX_SERVED_NAMES = 32
"""Limit for the served names of one model, in its server's list and in a registration."""

Entry: TypeAlias = Mapping[str, Any]
"""A model in a list, in its server's format."""

# Names in a list are shown to callers and written into requests.
FIT_NAME = re.compile(r"[A-Za-z0-9._:/@-]{1,128}")

# OpenAI and servers that imitate it list models of all kinds, without their kind.
_EMBEDDING = re.compile("embedding")
_OTHER_KINDS = re.compile(
    r"tts|whisper|dall-e|image|realtime|transcribe|translate|moderation|sora|instruct|gpt-live"
    r"|\A(babbage|davinci)-"
)


class ListUnavailable(ValueError):
    """The answer is not a list of models."""


@dataclass(frozen=True, slots=True)
class ListedModel:
    """A model as its server lists it. None means that the list does not say."""

    id: str
    kind: ModelKind | None = None
    """Its kind where that is certain."""
    context_window: int | None = None
    max_output_tokens: int | None = None
    shutdown: datetime.date | None = None
    deprecated: datetime.date | None = None
    state: State = UNKNOWN
    images: bool | None = None
    documents: bool | None = None
    json_schema: bool | None = None
    """Whether the provider has a field of its own for an answer's schema."""
    reasons: bool | None = None
    takes_budget: bool | None = None
    adaptive: bool | None = None
    efforts: tuple[str, ...] | None = None


class ListPage(NamedTuple):
    """One answer of a list."""

    entries: Mapping[str, Entry]
    """The entries by the ids of their models."""
    next_page: str
    """The token of the next page; empty on the last one."""


def one_page(_: Entry) -> str:
    """The token of the next page, for lists with one page only."""
    return ""


def no_query(_: str) -> str:
    """The query of a page, for lists without a query."""
    return ""


LISTED_KINDS: frozenset[ModelKind] = frozenset({"chat"})
"""The kinds of models that the platform has a call for."""


def kind_of(model_id: str, _: Entry) -> ModelKind | None:
    """The kind of a model by its id: by default a chat model; None for a kind that is neither chat nor embedding."""
    if _EMBEDDING.search(model_id):
        return "embedding"
    return None if _OTHER_KINDS.search(model_id) else "chat"


def describe(model_id: str, entry: Entry) -> ListedModel:
    """A model as OpenAI, vLLM and llama.cpp list it."""
    kind: ModelKind | None = "embedding" if _EMBEDDING.search(model_id) else None
    return ListedModel(
        model_id, kind, context_window=served_window(entry), shutdown=listed_day(entry.get("shutdown_date"))
    )


@dataclass(frozen=True, slots=True, eq=False)
class Listing:
    """The list of models of an API: its place, its pages and its members. By default those of OpenAI."""

    describe: Callable[[str, Entry], ListedModel] = describe
    kind_of: Callable[[str, Entry], ModelKind | None] = kind_of
    """The kind of the model in an entry; None for kinds that no call is made for."""
    query: Callable[[str], str] = no_query
    """The query for the page with this token, with its `?`; for the first page if the token is empty."""
    next_page: Callable[[Entry], str] = one_page
    """The token of the page after a response, or "" on the last page."""
    path: str = "/models"
    """The path of the list below the base URL. A single model is at its id below that."""
    entries_member: str = "data"
    id_member: str = "id"
    id_prefix: str = ""
    """The prefix of each id in the list that is left out in requests, such as Google's `models/`."""

    def read(self, body: bytes) -> ListPage:
        """Reads an answer. Raises ListUnavailable."""
        try:
            answer = json_text.decode(body)
        except json_text.Malformed:
            raise ListUnavailable from None
        listed = answer.get(self.entries_member) if isinstance(answer, dict) else None
        if not isinstance(listed, list):
            raise ListUnavailable
        named = ((entry.get(self.id_member), entry) for entry in listed if isinstance(entry, dict))
        entries = {name.removeprefix(self.id_prefix): entry for name, entry in named if isinstance(name, str)}
        return ListPage(entries, _checked(self.next_page(answer)))

    def models(self, page: ListPage) -> list[ListedModel]:
        """The models of a page that have a kind in LISTED_KINDS and an id that may be shown."""
        return [
            self.describe(model_id, entry)
            for model_id, entry in page.entries.items()
            if FIT_NAME.fullmatch(model_id) and self.kind_of(model_id, entry) in LISTED_KINDS
        ]


def _checked(next_page: str) -> str:
    if len(next_page) > MAX_NEXT_PAGE_LENGTH:
        raise ListUnavailable
    return next_page


def served_window(entry: Entry) -> int | None:
    """The context window on a server with vLLM or llama.cpp, which may be smaller than the model's own."""
    meta = entry.get("meta")
    return listed_tokens(entry.get("max_model_len")) or listed_tokens(
        meta.get("n_ctx") if isinstance(meta, dict) else None
    )


def listed_tokens(value: object) -> int | None:
    return value if type(value) is int and 0 < value <= MAX_TOKENS else None


def listed_day(value: object) -> datetime.date | None:
    """The day of a date, or of a time, as RFC 3339 writes them."""
    if not isinstance(value, str):
        return None
    try:
        return datetime.date.fromisoformat(value[:10])
    except ValueError:
        return None


# ---------------------------------------------------------------------------------- lists of registered models' servers


class ListedFacts(NamedTuple):
    """The facts that a server lists of a registered model."""

    context_window: int | None
    """The context window in tokens."""
    served_names: tuple[str, ...]
    """The names in the list that may be shown."""
    day: str
    """The day of the list, YYYY-MM-DD in UTC."""


def names_fit_to_show(page: ListPage, count: int) -> list[str]:
    """The first `count` names that may be shown; any other text in a list may be a stranger's."""
    return list(itertools.islice(filter(FIT_NAME.fullmatch, page.entries), count))


def listed_facts(listing: Listing, page: ListPage, model_id: str) -> ListedFacts:
    """The facts that a page has of a model, which may be missing from it."""
    window = listing.describe(model_id, page.entries.get(model_id, {})).context_window
    day = datetime.datetime.now(datetime.UTC).date().isoformat()
    return ListedFacts(window, tuple(names_fit_to_show(page, MAX_SERVED_NAMES)), day)


def with_listed_facts(capabilities: ModelCapabilities, listed: ListedFacts | None) -> ModelCapabilities:
    """The capabilities in a registration, completed by the facts that its server lists."""
    completed = ModelCapabilities()
    completed.CopyFrom(capabilities)
    completed.source = capabilities.source or "registration"
    if listed is None:
        return completed
    if not completed.HasField("context_window") and listed.context_window:
        completed.context_window = listed.context_window
    if not completed.served_names:
        completed.served_names.extend(listed.served_names)
    now = (completed.context_window, list(completed.served_names))
    if now != (capabilities.context_window, list(capabilities.served_names)):
        completed.source += "+provider"
        completed.as_of = listed.day
    return completed
