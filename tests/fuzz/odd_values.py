"""Values that programs trip over, for each kind of field."""

from __future__ import annotations

import random
from collections.abc import Sequence

from google.protobuf.descriptor import FieldDescriptor

from docs.feature_requests import ANTHROPIC_REDACTED, ANTHROPIC_THINKING, OPENAI_CALL, OPENAI_REASONING
from tests.fuzz.seeds import ADAPTER_TYPES, KEYS, LABELS, MODELS, PROMPTS, SESSIONS, USERS

INT32 = (0, 1, -1, 2, 3, 16, 17, 50, 64, 100, 999, 1000, 1001, 4096, 2**16, 2**31 - 1, -(2**31), 10**6, 10**9, -(10**9))
INT64 = (*INT32, 2**31, 2**32, 2**53, 2**53 + 1, 2**63 - 1, -(2**63), 315576000000, -315576000001, 253402300800)
DOUBLES = (0.0, -0.0, 0.5, 1.0, 1.5, 2.0, 2.1, -2.0, -2.1, 1e308, 5e-324, float("nan"), float("inf"), float("-inf"))

LENGTHS = (1, 2, 63, 64, 65, 127, 128, 129, 256, 257, 512, 513, 1024, 1025, 4096, 8192, 65_536)
LONG_LENGTHS = (262_144, 1_048_576, 4_194_304)
REPEATED = (
    "a", "A1", " ", "\n", "\0", "/", ".", "\\", '"', "%", "{{", "{{a}}", "}}", "[", "{", "é", "e\u0301", "\u202e",
    "\u200b",
    "\U0001f600", "\U00010348", "\ufffd", "a.", "a-", "-", "0", "9", "//", "<", "&", "data:", "\r\n", "\u2028",
)  # fmt: skip
TEXTS = (
    "", " ", "\0", "a\0b", "null", "NaN", "-1", "1e999", "true", "[]", "{}", "\u202egnp.exe", "a\u2028b", "a\u2029b",
    "\u0085", "\ufeffa", "\x1b[31mred", "\x7f", "\x9b31m", "a\r\nb: c", "a\nlevel=error", "%s%n%x", "%00",
    "{0.__class__}",
    "{{name}}", "{{ name }}", "{{name", "{{{name}}}", "{{a.b}}", "{{__class__}}", "../../etc/passwd", "/etc/passwd",
    "'; DROP TABLE sessions; --", "a%", "a_b", "$(id)", "`id`", "${jndi:ldap://a.example}", "İ", "ß", "\u0131", "ﬀ",
    "Å",
    "👨‍👩‍👧", "\U0010ffff", "\ufffe", "a" * 64 + "!", "-" * 65, ".", "..", "/", "a/", "/a", "a//b", "a b", "A",
    "openai/",
    "/gpt-4o", "openai//x", "OPENAI/gpt-4o", "gpt-4o ", "ＧＰＴ-4o", "system", "developer", "tool", "json_schema",
    "production", "latest", "constructor", "__proto__", "toString",
)  # fmt: skip
MIME_TYPES = (
    "image/png",
    "image/",
    "/png",
    "image/png; a=b",
    "IMAGE/PNG",
    "application/pdf",
    "text/csv",
    "x/y",
    "image/" + "a" * 200,
)
DAYS = ("2026-02-30", "0000-00-00", "9999-12-31", "2026-1-1", "２０２６-01-01", "2026-01-01\n")

_JSON_TEXTS = (
    "", " ", "null", "true", "0", "-0", "1e400", "1E-400", '""', '"a"', "[]", "{}", "[null]", "{", "}", "[", "[1,]",
    '{"a":1,}',
    "{'a':1}", "NaN", "Infinity", "-Infinity", '{"a":NaN}', '{"a":1}{"b":2}', '{"a":1} x', '{"a":1,"a":2}', "\ufeff{}",
    '{"a":"\\ud800"}', '{"\\udfff":1}', '{"a":"\\u0000"}', '{"\\u0000":1}', '{"a":"\x01"}', '{"a":"\\x"}',
    "// c\n{}", "{}\0",
    '{"":1}', '{"model":"x"}', '{"messages":[]}', '{"stream":false}', '{"Stream":true}', '{"MODEL":"x","model":"y"}',
    '{"tools":[{"type":"function"}]}', '{"tools":{}}', '{"tools":null}', '{"stop":[1]}', '{"stop":"a"}',
    '{"include":7}',
    '{"type":"object"}', '{"type":["object","null"]}', '{"type":7}', '{"type":"array","items":[]}', '{"$ref":"#"}',
    '{"$ref":"#/$defs/a","$defs":{"a":{"$ref":"#/$defs/a"}}}', '{"$ref":"#/$defs/missing"}', '{"$ref":7}',
    '{"$ref":"http://a.example/"}',
    '{"allOf":[{"$ref":"#"}]}', '{"anyOf":[]}', '{"anyOf":{}}', '{"properties":[]}', '{"properties":{"a":true}}',
    '{"required":7}',
    '{"required":["a","a"]}', '{"enum":[]}', '{"const":{}}', '{"pattern":"(a+)+$"}', '{"minimum":1e308}',
    '{"minimum":"1"}',
    '{"patternProperties":{"(":{}}}', '{"additionalProperties":{"$ref":"#"}}', '{"not":{"not":{}}}',
    '{"if":{"$ref":"#"}}',
    '{"type":"object","properties":{"next":{"$ref":"#"}},"required":["next"]}',
    '{"type":"tool_use","id":"a","name":"b","input":{}}', '{"role":"system","content":"x"}',
    '{"type":"message","role":"user"}',
)  # fmt: skip
_NESTED = (
    ("[", "1", "]"), ('{"a":', "1", "}"), ('{"allOf":[', "{}", "]}"), ('{"properties":{"a":', "{}", "}}"),
    ('{"items":', "{}", "}"),
    ('{"type":"object","properties":{"a":', '{"type":"string"}', '},"required":["a"]}'), ('[{"a":', "0", "}]"),
    ('{"anyOf":[{"type":"null"},', "{}", "]}"), ('{"not":', "{}", "}"), ('{"$defs":{"a":', "{}", "}}"),
)  # fmt: skip
DEPTHS = (2, 5, 10, 20, 31, 64, 100, 101, 500, 999, 1000, 1001, 5000)

_BYTES = (
    b"", b"\0", b"\xff\xfe", b"\x89PNG\r\n", b"%PDF-1.7", b"{}", b"null",
    OPENAI_REASONING, OPENAI_CALL, ANTHROPIC_THINKING, ANTHROPIC_REDACTED,
)  # fmt: skip

_NAMES: dict[str, Sequence[str]] = {
    "role": ("user", "assistant", "tool", "system", "developer", "USER", "function"),
    "model": MODELS,
    "name": (*PROMPTS, *MODELS[:4], "find", "fuzz-vllm"),
    "label": LABELS,
    "labels": LABELS,
    "session_id": SESSIONS,
    "user_id": USERS,
    "turn_id": ("turn-1", "turn-2"),
    "key": KEYS,
    "provider": ("openai", "anthropic", "vllm", "openai-compatible", "fuzz"),
    "adapter_type": ADAPTER_TYPES,
    "mime_type": MIME_TYPES,
    "detail": ("low", "high", "auto"),
    "effort": ("none", "minimal", "low", "medium", "high", "xhigh"),
    "type": ("text", "json_object", "json_schema", "web_search", "web_search_20260318"),
    "service": ("", "genai_platform.v1.ModelService", "nobody"),
    "file_by_filename": ("genai_platform/v1/models.proto", "google/protobuf/any.proto"),
    "file_containing_symbol": ("genai_platform.v1.ModelService.Chat", "grpc.health.v1.Health"),
    "env_var": ("PATH", "OPENAI_API_KEY", "GENAI_X", "FUZZ_API_KEY"),
    "file": ("/etc/passwd", "key", "../key"),
    "as_of": DAYS,
    "shutdown_date": DAYS,
    "unsupported_parameters": ("temperature", "top_p", "seed"),
}


class OddValues:
    """Draws values by what a field is called and what it is. `longest` bounds a text or a run of bytes."""

    def __init__(self, upstream_url: str, page_tokens: Sequence[str] = (), longest: int = 65_536) -> None:
        self._url = upstream_url
        self._page_tokens = page_tokens
        self._longest = longest

    def scalar(self, rng: random.Random, field: FieldDescriptor) -> object:
        kinds = FieldDescriptor
        match field.type:
            case kinds.TYPE_STRING:
                return self.text(rng, field.name)
            case kinds.TYPE_BYTES:
                return self.data(rng)
            case kinds.TYPE_DOUBLE | kinds.TYPE_FLOAT:
                return rng.choice(DOUBLES)
            case kinds.TYPE_BOOL:
                return rng.random() < 0.5
            case kinds.TYPE_ENUM:
                return rng.choice((0, 1, 2, 3, 4, 99, -1, 2**31 - 1))
            case kinds.TYPE_INT32:
                return rng.choice(INT32)
        return rng.choice(INT64)

    def text(self, rng: random.Random, name: str) -> str:
        if name.endswith("_json") and rng.random() < 0.9:
            return self.json(rng)
        if name in ("url", "endpoint", "health_check") and rng.random() < 0.8:
            return self.path(rng) if name == "health_check" else self.url(rng)
        if name == "page_token" and self._page_tokens and rng.random() < 0.7:
            return self._token(rng)
        if name in _NAMES and rng.random() < 0.5:
            return rng.choice(_NAMES[name])
        if rng.random() < 0.6:
            return rng.choice(TEXTS)
        return self._long(rng, rng.choice(REPEATED))

    def json(self, rng: random.Random) -> str:
        kind = rng.random()
        if kind < 0.6:
            return rng.choice(_JSON_TEXTS)
        if kind < 0.8:
            opening, inner, closing = rng.choice(_NESTED)
            depth = min(rng.choice(DEPTHS), self._longest // len(opening + closing))
            return opening * depth + inner + closing * (depth if rng.random() < 0.9 else depth - 1)
        if kind < 0.9:
            count = min(rng.choice((2, 100, 1000, 10_000)), self._longest // 12)
            members = ",".join(f'"k{index}":{{}}' for index in range(count))
            return rng.choice(('{"type":"object","properties":{%s}}', "{%s}", '{"required":[],"$defs":{%s}}')) % members
        filler = self._long(rng, rng.choice(("1", "a", "\\u0000", "\\ud83d\\ude00", "[],", " ")))
        return (
            rng.choice(('{"a":"%s"}', '{"a":%s}', "[%s]", '{"description":"%s"}', '{"a":1e%s}', '{"pattern":"%s"}'))
            % filler
        )

    def url(self, rng: random.Random) -> str:
        base = self._url
        filler = self._long(rng, rng.choice(("a", "/", ".", "%", "@", ":", "[", "x.", "?", "é", "\\", "-", "a/")))
        return rng.choice(
            (
                base, f"{base}/v1", f"{base}/v1/", f"{base}/v1//", f"{base}/{filler}", f"{base}/v1?a=b",
                f"{base}/v1#a",
                f"{base}/%2e%2e/v1", f"{base}/../v1", f"http://{filler}", f"http://{filler}/v1", f"http://a:{filler}",
                base.replace("127.0.0.1", "localhost"), base.replace("127.0.0.1", "LOCALHOST."),
                base.replace("127.0.0.1", "127.1"), base.replace("127.0.0.1", "0x7f.1"), base.replace("127.0.0.1",
                "[::1]"),
                base.replace("127.0.0.1", "[::ffff:127.0.0.1]"), base.replace("127.0.0.1", "2130706433"),
                base.replace("http:", "https:"), base.replace("http:", "HTTP:"), base.replace("http:", "file:"),
                base.replace("//", "//user:password@"), base.replace("//", "////"), base.replace("//", "/"),
                "http://169.254.169.254/latest", "http://metadata.google.internal/", "http://0.0.0.0:1",
                "http://[::]:1",
                "http://[", "http://]", "http://[::1", "http://[::1%25lo]:1", "http://a.example:0",
                "http://a.example:99999",
                "http://a.example:-1", "http://a.example:８０", "http://a.example:", "http://", "http:///v1", "http://.",
                "http://a..b/", "http://-a.example", "http://xn--a.example", "http://a_b.example",
                "http://é.example/v1",
                "http://a\tb/", "http://a\r\nHost: b/", " http://a.example", "data:text/plain,a", "javascript:1",
                "//a.example/",
            )
        )  # fmt: skip

    def path(self, rng: random.Random) -> str:
        filler = self._long(rng, "a/")
        paths = (
            "/health",
            "/",
            "//",
            "/../health",
            "/a b",
            "/é",
            "/%00",
            "health",
            "/a?b",
            "/a#b",
            "/\\",
            "/" + filler,
        )
        return rng.choice(paths)

    def data(self, rng: random.Random) -> bytes:
        kind = rng.random()
        if kind < 0.5:
            return rng.choice(_BYTES)
        if kind < 0.7:
            return rng.randbytes(rng.choice((1, 16, 300)))
        if kind < 0.85:
            return self.json(rng).encode()
        return self._long(rng, "\0").encode()

    def _token(self, rng: random.Random) -> str:
        token = rng.choice(self._page_tokens)
        place = rng.randrange(len(token)) if token else 0
        return rng.choice(
            (token, token[:place], token[:place] + "A" + token[place + 1 :], token * 2, token + "=", token + "\n")
        )

    def _long(self, rng: random.Random, piece: str) -> str:
        lengths = LONG_LENGTHS if self._longest > LENGTHS[-1] and rng.random() < 0.2 else LENGTHS
        length = min(rng.choice(lengths), self._longest)
        return (piece * length)[:length]
