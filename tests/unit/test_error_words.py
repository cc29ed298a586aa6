"""What servers say of an error, in whose words and in what wrapping."""

from __future__ import annotations

import json
from typing import Any

from services.models.providers.errors.error_body import fault_in, read_fault
from services.models.providers.errors.error_wrapping import MAX_TEXT, MAX_WRAPPINGS, find_error, read_error
from services.models.providers.errors.overflow_sentences import SENTENCES, is_overflow
from tests.rows import for_each
from tests.timing import cpu_seconds

SENTENCE = "prompt is too long: 213462 tokens > 200000 maximum"

OTHER_SENTENCES = [
    "This model's maximum prompt length is 131072 but the request contains 537812 tokens.",
    "'max_tokens' is too large: 500. This model's maximum context length is 400 tokens and your request has 10 tokens.",
    'litellm.BadRequestError: XaiException - {"error":"This model\'s maximum prompt length is 5 but the request …"}',
    "Input validation error: `inputs` must have less than 1,024 tokens. Given: 1310",
    "The decoder prompt (length 5000) is longer than the maximum model length of 4096.",
    "messages too long: 5000 tokens > 4096",
    "Total number of tokens 5000 exceeds model limit 4096",
    "Requested 9000 tokens, but the model only supports 8192",
    "Your messages have 9000 tokens; the limit is 8192",
    "The total number of tokens in the messages is over the limit",
    "Prompt tokens (9000) above the limit of this model",
    "model_max_prompt_tokens_exceeded",
    "ContextWindowExceededError",
]

NO_OVERFLOWS = [
    "Request too large for gpt-4o in organization org-x on tokens per min (TPM): Limit 30000, Requested 41000.",
    "Rate limit reached for model x on tokens per minute (TPM): Limit 6000, Used 1, Requested 7000",
    "Throttling error: Too many tokens, please wait before trying again.",
    "number of input tokens has exceeded your per-minute rate limit",
    "This request requires more credits, or fewer max_tokens. You requested up to 65536 tokens, but can afford 12.",
    "daily token limit exceeded",
    "max_tokens: 40000 > 8192, which is the maximum allowed number of output tokens for claude-3-5-haiku",
    "max_tokens is too large: 40000. This model supports at most 16384 completion tokens, whereas you provided 40000.",
    "`max_tokens` must be less than or equal to `8192`, the maximum value for `max_tokens` is less than the "
    "`context_window` for this model",
    "Maximum output tokens reached: too many tokens",
    "`max_new_tokens` must be <= 4096. Given: 20000",
    "Tool argument validation failed: input length exceeds 1000 characters",
    "image exceeds 5 MB maximum",
    "Request exceeds the maximum size",
    "Token has expired; request a new one",
    "This request has max_tokens 9000, and the limit is 4096",
    "messages: at most 100 messages are allowed",
    "Unexpected token < in JSON at position 0 of the request",
]


@for_each("sentence", SENTENCES)
def test_every_known_server_is_understood(sentence: str) -> None:
    said = SENTENCES[sentence].partition(": ")[2]
    assert is_overflow(said)
    assert is_overflow(f"Error from the provider: {said.upper()}")


@for_each("sentence", OTHER_SENTENCES)
def test_others_are_understood_by_what_they_speak_of(sentence: str) -> None:
    assert is_overflow(sentence)


@for_each("sentence", NO_OVERFLOWS)
def test_not_all_that_mentions_tokens_is_an_overflow(sentence: str) -> None:
    assert not is_overflow(sentence)


def test_long_text_takes_no_longer_than_it_is_looked_at() -> None:
    assert cpu_seconds(lambda: is_overflow("context length. " * 100_000)) < 0.5


WRAPPED: dict[str, Any] = {
    "OpenAI": {"error": {"message": SENTENCE, "type": "invalid_request_error", "param": None, "code": None}},
    "Anthropic": {"type": "error", "error": {"type": "invalid_request_error", "message": SENTENCE}},
    "Gemini": [{"error": {"code": 400, "message": SENTENCE, "status": "INVALID_ARGUMENT"}}],
    "vLLM": {"object": "error", "message": SENTENCE, "type": "BadRequestError", "param": None, "code": 400},
    "FastAPI": {"detail": SENTENCE},
    "FastAPI's list": {"detail": [{"msg": SENTENCE, "type": "value_error"}]},
    "Mistral": {"object": "error", "message": {"detail": [{"msg": SENTENCE}]}, "type": "invalid_request_error"},
    "KoboldCpp": {"detail": {"msg": SENTENCE, "type": "bad_input"}},
    "Ollama": {"error": SENTENCE},
    "text-generation-inference": {"error": SENTENCE, "error_type": "validation"},
    "Bedrock": {"message": SENTENCE},
    "AWS": {"__type": "com.amazonaws.bedrock#ValidationException", "Message": SENTENCE},
    "watsonx": {"errors": [{"code": "invalid_input_argument", "message": SENTENCE}], "status_code": 400},
    "Databricks": {"error_code": "BAD_REQUEST", "message": SENTENCE},
    "MiniMax": {"base_resp": {"status_code": 2013, "status_msg": SENTENCE}},
    "Qianfan": {"error_code": 336007, "error_msg": SENTENCE},
    "RFC 9457": {"type": "about:blank", "title": "Bad Request", "status": 400, "detail": SENTENCE},
    "Tencent": {"Response": {"Error": {"Code": "InvalidParameterValue", "Message": SENTENCE}, "RequestId": "x"}},
    "SageMaker": {
        "ErrorCode": "CLIENT_ERROR_FROM_MODEL",
        "OriginalMessage": json.dumps({"error": {"message": SENTENCE}}),
    },
    "Django": {"errors": {"messages": [SENTENCE]}},
    "an error in an error": {"error": {"error": {"message": SENTENCE}}},
    "a list of texts": [SENTENCE],
    "a text": SENTENCE,
    "OpenRouter": {
        "error": {
            "message": "Provider returned error",
            "code": 400,
            "metadata": {"raw": json.dumps({"error": {"message": SENTENCE}}), "provider_name": "x"},
        }
    },
    "JSON as a message": {"error": {"message": json.dumps([{"error": {"message": SENTENCE}}]), "code": 400}},
    "Python's bytes": {"error": f"b'{json.dumps({'error': {'message': SENTENCE}})}'"},
}

TEXTS = {
    "plain": SENTENCE,
    "a page": f"<!DOCTYPE html><html><style>p {{}}</style><body><h1>400</h1><p>{SENTENCE}</p></body></html>",
    "XML": f"<Error><Code>400</Code><Message>{SENTENCE}</Message></Error>",
    "an event": f"event: error\ndata: {json.dumps(WRAPPED['OpenAI'])}\n\n",
}


@for_each("status", [400, 413, 422, 500])
@for_each("wrapping", WRAPPED)
def test_error_is_read_out_of_every_wrapping(wrapping: str, status: int) -> None:
    fault = read_fault(status, json.dumps(WRAPPED[wrapping]).encode())
    assert fault.reason == "CONTEXT_LENGTH_EXCEEDED"
    assert (SENTENCE in fault.message) == (status < 500)


@for_each("wrapping", WRAPPED)
def test_error_within_a_success_is_read_the_same(wrapping: str) -> None:
    assert fault_in(WRAPPED[wrapping]).reason == "CONTEXT_LENGTH_EXCEEDED"


@for_each("text", TEXTS)
def test_text_that_is_no_json_is_read(text: str) -> None:
    fault = read_fault(400, TEXTS[text].encode())
    assert fault.reason == "CONTEXT_LENGTH_EXCEEDED"
    assert SENTENCE in fault.message
    assert "<" not in fault.message


def test_what_is_told_of_a_wrapped_error() -> None:
    told = find_error(WRAPPED["OpenRouter"])
    assert told.message == f"{SENTENCE}; Provider returned error"
    assert told.status == 400
    assert find_error(WRAPPED["AWS"]).words == ("ValidationException",)
    refused = {"detail": [{"loc": ["body", "messages", 0], "msg": "Field required", "input": "a secret"}]}
    assert find_error(refused).message == "body.messages.0: Field required"


def test_wrappings_have_a_bound() -> None:
    error: Any = {"message": SENTENCE}
    for _ in range(MAX_WRAPPINGS):
        error = {"error": error}
    assert find_error(error).message == ""
    wide: Any = SENTENCE
    for _ in range(MAX_WRAPPINGS):
        wide = [wide] * 64
    assert find_error(wide).words == ()
    assert len(read_error(b"a" * 4 * MAX_TEXT).message) == MAX_TEXT


@for_each(
    ("body", "reason"),
    [
        ({"error": {"message": "The model `x` does not exist", "code": "model_not_found"}}, "UPSTREAM_MODEL_NOT_FOUND"),
        ({"error": {"message": "model: claude-x", "type": "not_found_error"}}, "UPSTREAM_MODEL_NOT_FOUND"),
        ({"error": {"message": "The model `x` does not exist.", "type": "NotFoundError"}}, "UPSTREAM_MODEL_NOT_FOUND"),
        ({"error": 'model "x" not found, try pulling it first'}, "UPSTREAM_MODEL_NOT_FOUND"),
        (
            [{"error": {"code": 404, "message": "models/x is not found", "status": "NOT_FOUND"}}],
            "UPSTREAM_MODEL_NOT_FOUND",
        ),
        ({"error": {"message": "No endpoints found for x.", "code": 404}}, "UPSTREAM_MODEL_NOT_FOUND"),
        ({"error": {"code": "DeploymentNotFound", "message": "It does not exist."}}, "UPSTREAM_MODEL_NOT_FOUND"),
        ({"error": {"message": "Unknown request URL: POST /v1/x", "code": "unknown_url"}}, "UPSTREAM_PATH_NOT_FOUND"),
        (
            {"error": {"message": "Invalid URL (POST /v1/x)", "type": "invalid_request_error"}},
            "UPSTREAM_PATH_NOT_FOUND",
        ),
        ({"error": {"message": "Not Found", "type": "not_found_error"}}, "UPSTREAM_PATH_NOT_FOUND"),
        ({"error": {"code": 404, "message": "File Not Found", "type": "not_found_error"}}, "UPSTREAM_PATH_NOT_FOUND"),
        ({"error": {"code": "404", "message": "Resource not found"}}, "UPSTREAM_PATH_NOT_FOUND"),
        ({"detail": "Not Found"}, "UPSTREAM_PATH_NOT_FOUND"),
        ({"status": 404, "error": "Not Found", "path": "/v1/x"}, "UPSTREAM_PATH_NOT_FOUND"),
        ({"message": "no Route matched with those values"}, "UPSTREAM_PATH_NOT_FOUND"),
        ({"errors": [{"code": 7000, "message": "No route for that URI"}]}, "UPSTREAM_PATH_NOT_FOUND"),
        ("404 page not found\n", "UPSTREAM_PATH_NOT_FOUND"),
        ("<html><title>404 Not Found</title><h1>404 Not Found</h1>nginx</html>", "UPSTREAM_PATH_NOT_FOUND"),
        ("<pre>Cannot POST /v1/chat/completions</pre>", "UPSTREAM_PATH_NOT_FOUND"),
        ("", "UPSTREAM_PATH_NOT_FOUND"),
    ],
)
def test_a_path_that_is_not_there_is_told_from_a_model(body: Any, reason: str) -> None:
    content = body if isinstance(body, str) else json.dumps(body)
    assert read_fault(404, content.encode()).reason == reason
    assert read_fault(405, content.encode()).reason == "UPSTREAM_PATH_NOT_FOUND"


@for_each(
    ("body", "reason"),
    [
        ([{"error": {"code": 400, "message": "API key not valid.", "status": "INVALID_ARGUMENT"}}], "UPSTREAM_AUTH"),
        ([{"error": {"code": 429, "status": "RESOURCE_EXHAUSTED"}}], "UPSTREAM_RATE_LIMITED"),
        ({"__type": "com.amazonaws#ThrottlingException", "message": "Too many tokens"}, "UPSTREAM_RATE_LIMITED"),
        ({"code": "DataInspectionFailed", "message": "inappropriate content"}, "CONTENT_REJECTED"),
        (
            {"error": {"code": "content_filter", "innererror": {"code": "ResponsibleAIPolicyViolation"}}},
            "CONTENT_REJECTED",
        ),
        ({"error": {"code": "1113", "message": "x"}}, "UPSTREAM_BILLING"),
        (
            {"error": {"type": "RateLimitError", "message": "Request too large on tokens per minute"}},
            "UPSTREAM_RATE_LIMITED",
        ),
        ({"error": {"type": "overloaded_error", "message": SENTENCE}}, "UPSTREAM_OVERLOADED"),
        ({"base_resp": {"status_code": 1002, "status_msg": "x"}}, "UPSTREAM_RATE_LIMITED"),
        ({"base_resp": {"status_code": 1026, "status_msg": "x"}}, "CONTENT_REJECTED"),
        ({"status": "449", "msg": "You exceeded your current rate limit"}, "UPSTREAM_RATE_LIMITED"),
    ],
)
def test_words_of_other_servers(body: Any, reason: str) -> None:
    assert read_fault(400, json.dumps(body).encode()).reason == reason


def test_a_path_that_is_not_there_with_status_200() -> None:
    """As LM Studio answers."""
    told = {"error": "Unexpected endpoint or method. (POST /chat/completions). Returning 200 anyway"}
    assert fault_in(told).reason == "UPSTREAM_PATH_NOT_FOUND"
