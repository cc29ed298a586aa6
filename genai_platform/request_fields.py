"""The keywords of the calls: the fields of their requests; written by proto/generate.py."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any, TypedDict

from genai_platform.calls import CallOptions, Metadata
from genai_platform.v1.models_pb2 import (
    ChatMessage,
    Credential,
    ModelCapabilities,
    PromptDefaults,
    PromptMetadata,
    PromptRef,
    WindowPolicy,
)
from genai_platform.v1.usage_pb2 import (
    UsageFilter,
)


class ListModelsFields(CallOptions, total=False):
    """The fields of a ListModelsRequest, as keywords."""

    page_size: int | None
    """The page size."""
    page_token: str | None
    """The page token."""
    provider: str | None
    """Only models of this provider. Empty: all."""


class GetCapabilitiesFields(CallOptions, total=False):
    """The fields of a GetCapabilitiesRequest, as keywords."""

    model: str | None
    """The model's name or an alias. Required."""


class RegisterPromptFields(TypedDict, total=False):
    """The fields of a RegisterPromptRequest, as keywords."""

    timeout: float | None
    """The deadline of the whole call, in seconds above 0."""
    name: str | None
    """Lower-case letters, digits, `.`, `_`, `-` and `/`, at most 128, beginning with a letter or digit. Required."""
    content: str | None
    """The text, with `{{name}}` for each variable. Required, at most 1 MiB with 1000 variables."""
    metadata: PromptMetadata | Mapping[str, Any] | Metadata | None
    """Its authorship and tags."""
    labels: Sequence[str] | None
    """Labels to point at the version, whether it is new or not. At most 64."""
    commit_message: str | None
    """The change and its reason. At most 4096 characters."""
    defaults: PromptDefaults | Mapping[str, Any] | None
    """The defaults of chats with it."""


class GetPromptFields(CallOptions, total=False):
    """The fields of a GetPromptRequest, as keywords."""

    name: str | None
    """The prompt's name. Required."""
    version: int | None
    """This version; 0: not by number."""
    label: str | None
    """The version that this label points at. Excludes `version`."""


class ListPromptsFields(CallOptions, total=False):
    """The fields of a ListPromptsRequest, as keywords."""

    page_size: int | None
    """The page size."""
    page_token: str | None
    """The page token."""
    query: str | None
    """Only names that contain this text. Empty: all. At most 128 characters."""
    label: str | None
    """Only prompts with this label. Empty: all. At most 128 characters."""
    tags: Sequence[str] | None
    """Only prompts that have all of these tags. At most 64."""
    include_archived: bool | None
    """True to list archived prompts, too: as their newest version, without texts if these are too large for one
    message."""


class ListPromptVersionsFields(CallOptions, total=False):
    """The fields of a ListPromptVersionsRequest, as keywords."""

    name: str | None
    """The prompt's name. Required."""
    page_size: int | None
    """The page size."""
    page_token: str | None
    """The page token."""
    include_archived: bool | None
    """True to list archived versions, too."""


class SetPromptLabelFields(CallOptions, total=False):
    """The fields of a SetPromptLabelRequest, as keywords."""

    name: str | None
    """The prompt's name. Required."""
    label: str | None
    """The label. Required."""
    version: int | None
    """The version to point at; 0 removes the label."""
    expected_version: int | None
    """Fails the call with ABORTED unless the label points at this version now (0: at none)."""
    reason: str | None
    """The reason, for the prompt's events. At most 1024 characters."""
    actor: str | None
    """The actor, for the prompt's events. At most 256 characters."""


class ArchivePromptFields(CallOptions, total=False):
    """The fields of an ArchivePromptRequest, as keywords."""

    name: str | None
    """The prompt's name. Required."""
    version: int | None
    """The version; 0 for all present versions."""
    unarchive: bool | None
    """True to unarchive."""
    reason: str | None
    """The reason, for the prompt's events. At most 1024 characters."""
    actor: str | None
    """The actor, for the prompt's events. At most 256 characters."""


class ListPromptEventsFields(CallOptions, total=False):
    """The fields of a ListPromptEventsRequest, as keywords."""

    name: str | None
    """The prompt's name. Required."""
    page_size: int | None
    """The page size."""
    page_token: str | None
    """The page token."""


class RenderPromptFields(CallOptions, total=False):
    """The fields of a RenderPromptRequest, as keywords."""

    prompt: PromptRef | Mapping[str, Any] | None
    """The prompt and the values. Required."""


class RegisterModelFields(CallOptions, total=False):
    """The fields of a RegisterModelRequest, as keywords."""

    name: str | None
    """The name for ChatRequest.model: letters, digits and `._:/@-`, at most 128. Required."""
    endpoint: str | None
    """The server's base URL, http or https, with or without its version path, such as `http://localhost:8000/v1`; the
    path of a call, such as `/v1/chat/completions`, is removed from its end. If the server does not have the path of a
    call, the URL is also tried with `/v1` appended, or with a final `/v1` removed, if the key may be sent there.
    Required unless `endpoints` are given, at most 2048 characters."""
    capabilities: ModelCapabilities | Mapping[str, Any] | None
    """Its capabilities, as far as known."""
    health_check: str | None
    """The path of the health probe, such as `/health`, from the server's root. Empty: the adapter's default. At most
    512 characters. A credential that the operator has mapped to endpoints is sent with it only below these."""
    adapter_type: str | None
    """The adapter type: the server's dialect and how it authenticates. README.md has a table of them, such as `openai-
    compatible`. Required."""
    provider: str | None
    """A display name for the provider. Empty: the adapter's name. At most 64 characters."""
    upstream_model: str | None
    """The server's own name for the model. Empty: `name`. At most 256 characters."""
    credential: Credential | Mapping[str, Any] | None
    """The server's key. Unset: it needs none."""
    aliases: Sequence[str] | None
    """Other names, with the same rules as `name`. At most 32."""
    default_options_json: str | None
    """A JSON object with defaults for members of every request body; a null removes a member, such as `stream_options`
    for a server that refuses it. At most 64 KiB."""
    default_options: Any
    """The same as a Python value, in place of `default_options_json`."""
    validate_only: bool | None
    """True to check and probe the model without registering it."""
    endpoints: Sequence[str] | None
    """The base URLs of several servers that all serve this model, each as `endpoint`, which is then left out or the
    first of them. At most 16, no two of which lead to the same server. A request goes to the one with the fewest
    requests in flight from this process, of those that work; if it fails there before the first output, it goes on to
    another. All share the model's key and its provider state."""


class ListRegisteredModelsFields(CallOptions, total=False):
    """The fields of a ListRegisteredModelsRequest, as keywords."""

    page_size: int | None
    """The page size."""
    page_token: str | None
    """The page token."""


class GetModelStatusFields(CallOptions, total=False):
    """The fields of a GetModelStatusRequest, as keywords."""

    name: str | None
    """The model's name or an alias. Required."""


class DeregisterModelFields(CallOptions, total=False):
    """The fields of a DeregisterModelRequest, as keywords."""

    name: str | None
    """The model's name. Required."""


class CreateSessionFields(TypedDict, total=False):
    """The fields of a CreateSessionRequest, as keywords."""

    timeout: float | None
    """The deadline of the whole call, in seconds above 0."""
    session_id: str | None
    """An id of the caller's choice, unique for the user: letters, digits and `._:-`, at most 128. Empty: an id is
    generated."""
    user_id: str | None
    """The user that it belongs to. At most 256 characters."""
    title: str | None
    """A title for people. At most 512 characters."""
    metadata: Mapping[str, str] | Metadata | None
    """The caller's own labels. At most 64, keys of at most 64 and values of at most 1024 characters."""
    ttl: timedelta | float | None
    """The time to live after the last write. Unset: unlimited."""


class GetSessionFields(CallOptions, total=False):
    """The fields of a GetSessionRequest, as keywords."""

    session_id: str | None
    """The session's id. Required."""
    user_id: str | None
    """The user that it must belong to. Empty, here and in every request that names a session: not checked. If several
    users have a session of this id, it is then the one without a user; if there is none, INVALID_ARGUMENT
    SESSION_AMBIGUOUS."""


class ListSessionsFields(CallOptions, total=False):
    """The fields of a ListSessionsRequest, as keywords."""

    page_size: int | None
    """The page size."""
    page_token: str | None
    """The page token."""
    user_id: str | None
    """Only sessions of this user. Empty: all of the project."""


class DeleteSessionFields(CallOptions, total=False):
    """The fields of a DeleteSessionRequest, as keywords."""

    session_id: str | None
    """The session's id. Required."""
    user_id: str | None
    """The user that it must belong to. Empty: not checked."""


class AppendMessagesFields(CallOptions, total=False):
    """The fields of an AppendMessagesRequest, as keywords."""

    session_id: str | None
    """The session's id. Required."""
    user_id: str | None
    """The user that it must belong to. Empty: not checked."""
    messages: Sequence[ChatMessage | Mapping[str, Any]] | None
    """The messages, in order. Required, at most 1000, with at most 30 MiB and 22,000 parts and tool calls together; at
    most 2000 of each in one message, and 2000 parts in a tool result."""
    request_id: str | None
    """Makes the call idempotent: a repeated id appends nothing, and returns the first result. At most 64 characters. A
    session remembers at least the newest 1000."""
    expected_next_sequence: int | None
    """Fails the call with ABORTED unless the session's next sequence is this one."""
    turn_id: str | None
    """The turn to which these messages belong, and which they end; see turns.proto. Fails the call with ABORTED unless
    it is still the session's turn. Empty: they belong to no turn."""
    omit_messages: bool | None
    """True to leave the messages out of the response, because the caller has them."""


class ListMessagesFields(CallOptions, total=False):
    """The fields of a ListMessagesRequest, as keywords."""

    session_id: str | None
    """The session's id. Required."""
    user_id: str | None
    """The user that it must belong to. Empty: not checked."""
    page_size: int | None
    """The page size."""
    page_token: str | None
    """The page token."""
    descending: bool | None
    """True to list the newest first."""


class GetContextFields(CallOptions, total=False):
    """The fields of a GetContextRequest, as keywords."""

    session_id: str | None
    """The session's id. Required."""
    user_id: str | None
    """The user that it must belong to. Empty: not checked."""
    window: WindowPolicy | Mapping[str, Any] | None
    """The window. Unset: the whole history."""
    expected_next_sequence: int | None
    """Fails the call with ABORTED unless the session's next sequence is this one."""


class TruncateMessagesFields(CallOptions, total=False):
    """The fields of a TruncateMessagesRequest, as keywords."""

    session_id: str | None
    """The session's id. Required."""
    user_id: str | None
    """The user that it must belong to. Empty: not checked."""
    from_sequence: int | None
    """The first sequence to delete; at least 1."""


class PutMemoryFields(CallOptions, total=False):
    """The fields of a PutMemoryRequest, as keywords."""

    user_id: str | None
    """The user that it belongs to. Required, unless the key belongs to a user."""
    key: str | None
    """The key. Required, at most 256 characters."""
    value_json: str | None
    """The value: JSON, at most 256 KiB. Required."""
    value: Any
    """The same as a Python value, in place of `value_json`."""


class ListMemoriesFields(CallOptions, total=False):
    """The fields of a ListMemoriesRequest, as keywords."""

    user_id: str | None
    """The user. Required, unless the key belongs to a user."""
    page_size: int | None
    """The page size."""
    page_token: str | None
    """The page token."""
    key_prefix: str | None
    """Only keys that begin with this text. Empty: all."""


class DeleteMemoryFields(CallOptions, total=False):
    """The fields of a DeleteMemoryRequest, as keywords."""

    user_id: str | None
    """The user that it belongs to. Required, unless the key belongs to a user."""
    key: str | None
    """The key. Required."""


class DeleteUserDataFields(CallOptions, total=False):
    """The fields of a DeleteUserDataRequest, as keywords."""

    user_id: str | None
    """The user. Required, unless the key belongs to a user."""


class GetMyUsageFields(CallOptions, total=False):
    """The fields of a GetMyUsageRequest, as keywords."""


class ListUsageFields(CallOptions, total=False):
    """The fields of a ListUsageRequest, as keywords."""

    from_day: str | None
    """The first day, as `2026-11-30`. Empty: the first of the month of `to_day`."""
    to_day: str | None
    """The last day. Empty: today."""
    group_by: Sequence[str] | None
    """The groups of the sums, in this order: `day`, `team`, `project`, `key`, `user`, `provider`, `model`, `tag`, each
    at most once. None: one sum of all."""
    tag_key: str | None
    """The tag that `tag` groups by, and needs: one of the operator's USAGE_TAG_KEYS. Calls without the tag are left
    out."""
    filter: UsageFilter | Mapping[str, Any] | None
    """The usage to sum up. Unset: all that the caller may see."""
    page_size: int | None
    """The maximum of rows in the response."""
    page_token: str | None
    """The `next_page_token` of the page before."""


class ExportUsageFields(CallOptions, total=False):
    """The fields of an ExportUsageRequest, as keywords."""

    from_day: str | None
    """As in ListUsageRequest."""
    to_day: str | None
    """As in ListUsageRequest."""
    group_by: Sequence[str] | None
    """As in ListUsageRequest."""
    tag_key: str | None
    """As in ListUsageRequest."""
    filter: UsageFilter | Mapping[str, Any] | None
    """As in ListUsageRequest."""
    format: str | None
    """`csv` or `jsonl`. Empty: `csv`. Columns and members have the names of the fields of UsageRow and UsageSums."""


class RepriceUsageFields(CallOptions, total=False):
    """The fields of a RepriceUsageRequest, as keywords."""

    from_day: str | None
    """The first day on which calls ended, as `2026-11-30`. Required."""
    to_day: str | None
    """The last day. Empty: today."""
    model_glob: str | None
    """The models, by their names or as `provider/name`, with `*` for any characters. Empty: all."""
    apply: bool | None
    """Whether the costs are stored. Otherwise the response says what they would be."""


class ListCallsFields(CallOptions, total=False):
    """The fields of a ListCallsRequest, as keywords."""

    page_size: int | None
    """The maximum of calls in the response."""
    page_token: str | None
    """The `next_page_token` of the page before."""


class CancelCallFields(CallOptions, total=False):
    """The fields of a CancelCallRequest, as keywords."""

    call_id: str | None
    """The call. Required, at most 128 characters."""
