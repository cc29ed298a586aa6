"""The fields of the calls, by their TypedDicts, with a line for each; written by tools/field_texts.py."""

from __future__ import annotations

FIELD_TEXTS = {
    "CallOptions": r"""
timeout   The deadline of the whole call, in seconds above 0.
metadata  gRPC metadata; its keys override those of the client. `x-request-id` names the call in the logs.""",
    "ListModelsFields": r"""
page_size   The page size.
page_token  The page token.
provider    Only models of this provider. Empty: all.
timeout     The deadline of the whole call, in seconds above 0.
metadata    gRPC metadata; its keys override those of the client. `x-request-id` names the call in the logs.""",
    "GetCapabilitiesFields": r"""
model     The model's name or an alias. Required.
timeout   The deadline of the whole call, in seconds above 0.
metadata  gRPC metadata; its keys override those of the client. `x-request-id` names the call in the logs.""",
    "RegisterPromptFields": r"""
timeout         The deadline of the whole call, in seconds above 0.
name            Lower-case letters, digits, `.`, `_`, `-` and `/`, at most 128, beginning with a letter or
                digit. Required.
content         The text, with `{{name}}` for each variable. Required, at most 1 MiB with 1000 variables.
metadata        Its authorship and tags.
labels          Labels to point at the version, whether it is new or not. At most 64.
commit_message  The change and its reason. At most 4096 characters.
defaults        The defaults of chats with it.""",
    "GetPromptFields": r"""
name      The prompt's name. Required.
version   This version; 0: not by number.
label     The version that this label points at. Excludes `version`.
timeout   The deadline of the whole call, in seconds above 0.
metadata  gRPC metadata; its keys override those of the client. `x-request-id` names the call in the logs.""",
    "ListPromptsFields": r"""
page_size         The page size.
page_token        The page token.
query             Only names that contain this text. Empty: all. At most 128 characters.
label             Only prompts with this label. Empty: all. At most 128 characters.
tags              Only prompts that have all of these tags. At most 64.
include_archived  True to list archived prompts, too: as their newest version, without texts if these are too
                  large for one message.
timeout           The deadline of the whole call, in seconds above 0.
metadata          gRPC metadata; its keys override those of the client. `x-request-id` names the call in the
                  logs.""",
    "ListPromptVersionsFields": r"""
name              The prompt's name. Required.
page_size         The page size.
page_token        The page token.
include_archived  True to list archived versions, too.
timeout           The deadline of the whole call, in seconds above 0.
metadata          gRPC metadata; its keys override those of the client. `x-request-id` names the call in the
                  logs.""",
    "SetPromptLabelFields": r"""
name              The prompt's name. Required.
label             The label. Required.
version           The version to point at; 0 removes the label.
expected_version  Fails the call with ABORTED unless the label points at this version now (0: at none).
reason            The reason, for the prompt's events. At most 1024 characters.
actor             The actor, for the prompt's events. At most 256 characters.
timeout           The deadline of the whole call, in seconds above 0.
metadata          gRPC metadata; its keys override those of the client. `x-request-id` names the call in the
                  logs.""",
    "ArchivePromptFields": r"""
name       The prompt's name. Required.
version    The version; 0 for all present versions.
unarchive  True to unarchive.
reason     The reason, for the prompt's events. At most 1024 characters.
actor      The actor, for the prompt's events. At most 256 characters.
timeout    The deadline of the whole call, in seconds above 0.
metadata   gRPC metadata; its keys override those of the client. `x-request-id` names the call in the logs.""",
    "ListPromptEventsFields": r"""
name        The prompt's name. Required.
page_size   The page size.
page_token  The page token.
timeout     The deadline of the whole call, in seconds above 0.
metadata    gRPC metadata; its keys override those of the client. `x-request-id` names the call in the logs.""",
    "RenderPromptFields": r"""
prompt    The prompt and the values. Required.
timeout   The deadline of the whole call, in seconds above 0.
metadata  gRPC metadata; its keys override those of the client. `x-request-id` names the call in the logs.""",
    "RegisterModelFields": r"""
name                  The name for ChatRequest.model: letters, digits and `._:/@-`, at most 128. Required.
endpoint              The server's base URL, http or https, with or without its version path, such as
                      `http://localhost:8000/v1`; the path of a call, such as `/v1/chat/completions`, is removed
                      from its end. If the server does not have the path of a call, the URL is also tried with
                      `/v1` appended, or with a final `/v1` removed, if the key may be sent there. Required
                      unless `endpoints` are given, at most 2048 characters.
capabilities          Its capabilities, as far as known.
health_check          The path of the health probe, such as `/health`, from the server's root. Empty: the
                      adapter's default. At most 512 characters. A credential that the operator has mapped to
                      endpoints is sent with it only below these.
adapter_type          The adapter type: the server's dialect and how it authenticates. README.md has a table of
                      them, such as `openai- compatible`. Required.
provider              A display name for the provider. Empty: the adapter's name. At most 64 characters.
upstream_model        The server's own name for the model. Empty: `name`. At most 256 characters.
credential            The server's key. Unset: it needs none.
aliases               Other names, with the same rules as `name`. At most 32.
default_options_json  A JSON object with defaults for members of every request body; a null removes a member,
                      such as `stream_options` for a server that refuses it. At most 64 KiB.
default_options       The same as a Python value, in place of `default_options_json`.
validate_only         True to check and probe the model without registering it.
endpoints             The base URLs of several servers that all serve this model, each as `endpoint`, which is
                      then left out or the first of them. At most 16, no two of which lead to the same server. A
                      request goes to the one with the fewest requests in flight from this process, of those
                      that work; if it fails there before the first output, it goes on to another. All share the
                      model's key and its provider state.
timeout               The deadline of the whole call, in seconds above 0.
metadata              gRPC metadata; its keys override those of the client. `x-request-id` names the call in the
                      logs.""",
    "ListRegisteredModelsFields": r"""
page_size   The page size.
page_token  The page token.
timeout     The deadline of the whole call, in seconds above 0.
metadata    gRPC metadata; its keys override those of the client. `x-request-id` names the call in the logs.""",
    "GetModelStatusFields": r"""
name      The model's name or an alias. Required.
timeout   The deadline of the whole call, in seconds above 0.
metadata  gRPC metadata; its keys override those of the client. `x-request-id` names the call in the logs.""",
    "DeregisterModelFields": r"""
name      The model's name. Required.
timeout   The deadline of the whole call, in seconds above 0.
metadata  gRPC metadata; its keys override those of the client. `x-request-id` names the call in the logs.""",
    "CreateSessionFields": r"""
timeout     The deadline of the whole call, in seconds above 0.
session_id  An id of the caller's choice, unique for the user: letters, digits and `._:-`, at most 128. Empty:
            an id is generated.
user_id     The user that it belongs to. At most 256 characters.
title       A title for people. At most 512 characters.
metadata    The caller's own labels. At most 64, keys of at most 64 and values of at most 1024 characters.
ttl         The time to live after the last write. Unset: unlimited.""",
    "GetSessionFields": r"""
session_id  The session's id. Required.
user_id     The user that it must belong to. Empty, here and in every request that names a session: not checked.
            If several users have a session of this id, it is then the one without a user; if there is none,
            INVALID_ARGUMENT SESSION_AMBIGUOUS.
timeout     The deadline of the whole call, in seconds above 0.
metadata    gRPC metadata; its keys override those of the client. `x-request-id` names the call in the logs.""",
    "ListSessionsFields": r"""
page_size   The page size.
page_token  The page token.
user_id     Only sessions of this user. Empty: all of the project.
timeout     The deadline of the whole call, in seconds above 0.
metadata    gRPC metadata; its keys override those of the client. `x-request-id` names the call in the logs.""",
    "DeleteSessionFields": r"""
session_id  The session's id. Required.
user_id     The user that it must belong to. Empty: not checked.
timeout     The deadline of the whole call, in seconds above 0.
metadata    gRPC metadata; its keys override those of the client. `x-request-id` names the call in the logs.""",
    "AppendMessagesFields": r"""
session_id              The session's id. Required.
user_id                 The user that it must belong to. Empty: not checked.
messages                The messages, in order. Required, at most 1000, with at most 30 MiB and 22,000 parts and
                        tool calls together; at most 2000 of each in one message, and 2000 parts in a tool
                        result.
request_id              Makes the call idempotent: a repeated id appends nothing, and returns the first result.
                        At most 64 characters. A session remembers at least the newest 1000.
expected_next_sequence  Fails the call with ABORTED unless the session's next sequence is this one.
turn_id                 The turn to which these messages belong, and which they end; see turns.proto. Fails the
                        call with ABORTED unless it is still the session's turn. Empty: they belong to no turn.
omit_messages           True to leave the messages out of the response, because the caller has them.
timeout                 The deadline of the whole call, in seconds above 0.
metadata                gRPC metadata; its keys override those of the client. `x-request-id` names the call in
                        the logs.""",
    "ListMessagesFields": r"""
session_id  The session's id. Required.
user_id     The user that it must belong to. Empty: not checked.
page_size   The page size.
page_token  The page token.
descending  True to list the newest first.
timeout     The deadline of the whole call, in seconds above 0.
metadata    gRPC metadata; its keys override those of the client. `x-request-id` names the call in the logs.""",
    "GetContextFields": r"""
session_id              The session's id. Required.
user_id                 The user that it must belong to. Empty: not checked.
window                  The window. Unset: the whole history.
expected_next_sequence  Fails the call with ABORTED unless the session's next sequence is this one.
timeout                 The deadline of the whole call, in seconds above 0.
metadata                gRPC metadata; its keys override those of the client. `x-request-id` names the call in
                        the logs.""",
    "TruncateMessagesFields": r"""
session_id     The session's id. Required.
user_id        The user that it must belong to. Empty: not checked.
from_sequence  The first sequence to delete; at least 1.
timeout        The deadline of the whole call, in seconds above 0.
metadata       gRPC metadata; its keys override those of the client. `x-request-id` names the call in the logs.""",
    "PutMemoryFields": r"""
user_id     The user that it belongs to. Required, unless the key belongs to a user.
key         The key. Required, at most 256 characters.
value_json  The value: JSON, at most 256 KiB. Required.
value       The same as a Python value, in place of `value_json`.
timeout     The deadline of the whole call, in seconds above 0.
metadata    gRPC metadata; its keys override those of the client. `x-request-id` names the call in the logs.""",
    "ListMemoriesFields": r"""
user_id     The user. Required, unless the key belongs to a user.
page_size   The page size.
page_token  The page token.
key_prefix  Only keys that begin with this text. Empty: all.
timeout     The deadline of the whole call, in seconds above 0.
metadata    gRPC metadata; its keys override those of the client. `x-request-id` names the call in the logs.""",
    "DeleteMemoryFields": r"""
user_id   The user that it belongs to. Required, unless the key belongs to a user.
key       The key. Required.
timeout   The deadline of the whole call, in seconds above 0.
metadata  gRPC metadata; its keys override those of the client. `x-request-id` names the call in the logs.""",
    "DeleteUserDataFields": r"""
user_id   The user. Required, unless the key belongs to a user.
timeout   The deadline of the whole call, in seconds above 0.
metadata  gRPC metadata; its keys override those of the client. `x-request-id` names the call in the logs.""",
    "GetMyUsageFields": r"""
timeout   The deadline of the whole call, in seconds above 0.
metadata  gRPC metadata; its keys override those of the client. `x-request-id` names the call in the logs.""",
    "ListUsageFields": r"""
from_day    The first day, as `2026-11-30`. Empty: the first of the month of `to_day`.
to_day      The last day. Empty: today.
group_by    The groups of the sums, in this order: `day`, `team`, `project`, `key`, `user`, `provider`, `model`,
            `tag`, each at most once. None: one sum of all.
tag_key     The tag that `tag` groups by, and needs: one of the operator's USAGE_TAG_KEYS. Calls without the tag
            are left out.
filter      The usage to sum up. Unset: all that the caller may see.
page_size   The maximum of rows in the response.
page_token  The `next_page_token` of the page before.
timeout     The deadline of the whole call, in seconds above 0.
metadata    gRPC metadata; its keys override those of the client. `x-request-id` names the call in the logs.""",
    "ExportUsageFields": r"""
from_day  As in ListUsageRequest.
to_day    As in ListUsageRequest.
group_by  As in ListUsageRequest.
tag_key   As in ListUsageRequest.
filter    As in ListUsageRequest.
format    `csv` or `jsonl`. Empty: `csv`. Columns and members have the names of the fields of UsageRow and
          UsageSums.
timeout   The deadline of the whole call, in seconds above 0.
metadata  gRPC metadata; its keys override those of the client. `x-request-id` names the call in the logs.""",
    "RepriceUsageFields": r"""
from_day    The first day on which calls ended, as `2026-11-30`. Required.
to_day      The last day. Empty: today.
model_glob  The models, by their names or as `provider/name`, with `*` for any characters. Empty: all.
apply       Whether the costs are stored. Otherwise the response says what they would be.
timeout     The deadline of the whole call, in seconds above 0.
metadata    gRPC metadata; its keys override those of the client. `x-request-id` names the call in the logs.""",
    "ListCallsFields": r"""
page_size   The maximum of calls in the response.
page_token  The `next_page_token` of the page before.
timeout     The deadline of the whole call, in seconds above 0.
metadata    gRPC metadata; its keys override those of the client. `x-request-id` names the call in the logs.""",
    "CancelCallFields": r"""
call_id   The call. Required, at most 128 characters.
timeout   The deadline of the whole call, in seconds above 0.
metadata  gRPC metadata; its keys override those of the client. `x-request-id` names the call in the logs.""",
    "TurnFields": r"""
model                  The model's name; by default the environment's GENAI_MODEL.
temperature            From 0 on; 0 for the likeliest tokens.
top_p                  Only the likeliest tokens, which together have this probability.
top_k                  Only so many of the likeliest tokens.
seed                   The same answer for the same seed, as far as the provider can.
frequency_penalty      Above 0 against tokens that have come often.
presence_penalty       Above 0 against tokens that have come at all.
max_tokens             The most tokens of the answer.
stop_sequences         Texts that end the answer.
tools                  Functions; or dicts with `name`, `description` and `parameters`, a JSON Schema as a dict.
tool_choice            `auto`, `none` or `required`; or `{"tool_name": "…"}` for one tool.
parallel_tool_calls    Whether several tools may be called at once.
response_format        `json_object`, a class such as a Pydantic model, or a dict such as `{"schema": {…}}`.
reasoning              An effort, such as `low`, by itself, or a dict with `effort` and `budget_tokens`.
logprobs               The log probability of each token of the answer.
top_logprobs           The same for so many alternatives to each.
prompt                 A registered prompt by its name alone, or with a version or label, and its variables, in
                       a dict.
system_prompt_name     A registered prompt in force, without variables.
session                Options of the session, such as `{"window": {"max_messages": 20}}`.
fallback_models        Models that are tried when `model` cannot answer.
timeouts               Timeouts of each attempt, `connect`, `first_output`, `silence` and `total`; plain numbers
                       are seconds.
cache                  Shares the answer with equal requests of the last so many seconds.
parameter_policy       `adapt`, `strict` or `passthrough`, for what the model does not support.
provider_options       Members for the body of the provider's request, by adapter type: `{"openai": {"user":
                       "u1"}}`.
provider_options_json  The same as JSON texts.
provider_headers       Header fields for providers of their vendor's dialects: `{"anthropic-beta": "…"}`, or
                       `openai-beta`.
prompt_cache_key       A key for requests with a common prefix.
tags                   Labels for accounting.
end_user_id            An opaque id of the end user.
config                 A ChatConfig, instead of its fields as keywords.""",
    "ChatFields": r"""
messages               The conversation, instead of the first argument.
system                 The text of a system message before the conversation.
session_id             The session whose history is sent, and extended by this turn.
request_id             Makes the call idempotent for a day.
model                  The model's name; by default the environment's GENAI_MODEL.
temperature            From 0 on; 0 for the likeliest tokens.
top_p                  Only the likeliest tokens, which together have this probability.
top_k                  Only so many of the likeliest tokens.
seed                   The same answer for the same seed, as far as the provider can.
frequency_penalty      Above 0 against tokens that have come often.
presence_penalty       Above 0 against tokens that have come at all.
max_tokens             The most tokens of the answer.
stop_sequences         Texts that end the answer.
tools                  Functions; or dicts with `name`, `description` and `parameters`, a JSON Schema as a dict.
tool_choice            `auto`, `none` or `required`; or `{"tool_name": "…"}` for one tool.
parallel_tool_calls    Whether several tools may be called at once.
response_format        `json_object`, a class such as a Pydantic model, or a dict such as `{"schema": {…}}`.
reasoning              An effort, such as `low`, by itself, or a dict with `effort` and `budget_tokens`.
logprobs               The log probability of each token of the answer.
top_logprobs           The same for so many alternatives to each.
prompt                 A registered prompt by its name alone, or with a version or label, and its variables, in
                       a dict.
system_prompt_name     A registered prompt in force, without variables.
session                Options of the session, such as `{"window": {"max_messages": 20}}`.
fallback_models        Models that are tried when `model` cannot answer.
timeouts               Timeouts of each attempt, `connect`, `first_output`, `silence` and `total`; plain numbers
                       are seconds.
cache                  Shares the answer with equal requests of the last so many seconds.
parameter_policy       `adapt`, `strict` or `passthrough`, for what the model does not support.
provider_options       Members for the body of the provider's request, by adapter type: `{"openai": {"user":
                       "u1"}}`.
provider_options_json  The same as JSON texts.
provider_headers       Header fields for providers of their vendor's dialects: `{"anthropic-beta": "…"}`, or
                       `openai-beta`.
prompt_cache_key       A key for requests with a common prefix.
tags                   Labels for accounting.
end_user_id            An opaque id of the end user.
config                 A ChatConfig, instead of its fields as keywords.""",
    "UsageFields": r"""
from_day    The first day, as `2026-11-30`; by default the first of the month of `to_day`.
to_day      The last day; by default today, in UTC.
group_by    The groups of the sums: `day`, `team`, `project`, `key`, `user`, `provider`, `model`, `tag`.
tag_key     The tag that `tag` groups by.
team_id     Only what this team has used.
project_id  Only what this project has used.
key_id      Only what this key has used.
user_id     Only what this user has used.
provider    Only calls of this provider.
model       Only calls of this model.""",
}
