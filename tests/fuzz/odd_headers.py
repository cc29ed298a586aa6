"""Header fields of HTTP/2 that servers trip over."""

from __future__ import annotations

MODELS = b"/genai_platform.v1.ModelService/"
SESSIONS = b"/genai_platform.v1.SessionService/"

ODD_PATHS = (
    b"", b"/", b"//", b"*", b"a", b"/a", b"/a/", b"/a/b/c", b"/\xff/x", b"/a/\xff", b"\x80", b"/\xc3\xa9/x",
    b"/%ff/%00", b"/a\0b/c",
    b"/a b/c", b"/a\r\nb: c/d", MODELS, MODELS + b"Nothing", MODELS + b"\xff", MODELS + b"List\0Models",
    MODELS + b"ListModels/",
    MODELS + b"ListModels?a=b", MODELS[:-1], b"/genai_platform.v1.Nobody/Chat",
    b"/genai_platform.v1.TurnService/BeginTurn",
    b"/genai_platform.v1.TurnService/Nothing", b"/GENAI_PLATFORM.V1.MODELSERVICE/CHAT",
    b"http://127.0.0.1" + MODELS + b"Chat",
    b"/../" + MODELS[1:] + b"Chat", b"/" * 1000, b"/a" * 2000, b"/" + b"a" * 7000 + b"/b",
    b"/a/" + b"\xff" * 7000, MODELS + b"a" * 7000,
    b"/\xf0\x9f\x98\x80/\xf0\x9f\x98\x80", b"/\xed\xa0\x80/a", b"/grpc.health.v1.Health/Nothing", b"/\x7f/\x1b[31m",
)  # fmt: skip
ODD_VALUES = (
    b"", b" ", b"\0", b"a\0b", b"\xff\xfe", b"\x80", b"\xc3\xa9", b"a\nb: c", b"a\rb", b"a\x7fb", b"\x1b[31m", b"\t",
    b" a ", b"%00",
    b"a" * 300, b"a" * 5000, b"\xff" * 3000, b",", b";", b'"', b"=", b"====", b"AAA", b"AA==", b"*", b"1", b"-1",
    b"gzip", b"a,b,c",
)  # fmt: skip
ODD_NAMES = (
    b"", b" ", b"a b", b"A", b"X-Upper", b":", b":a", b"a:", b"a\0", b"\xff", b"a\nb", b"-bin", b"a-bin", b"x-a-bin",
    b"grpc-", b"grpc-a",
    b"grpc-timeout", b"grpc-encoding", b"grpc-accept-encoding", b"grpc-status", b"grpc-message",
    b"grpc-status-details-bin",
    b"grpc-tags-bin", b"grpc-trace-bin", b"grpc-previous-rpc-attempts", b"grpc-retry-pushback-ms",
    b"grpc-internal-encoding-request",
    b"x-request-id", b"x-genai-caller", b"x-genai-exposed", b"host", b"connection", b"te", b"content-length",
    b"transfer-encoding",
    b"cookie", b"user-agent", b"authorization", b"lb-token", b"lb-cost-bin", b"endpoint-load-metrics-bin",
    b"traceparent", b"expect",
    b"content-type", b":path", b":method", b":status", b":authority", b":scheme", b":protocol",
    b"a" * 300, b"x" * 5000,
)  # fmt: skip
ODD_TIMEOUTS = (
    b"0S", b"0n", b"1n", b"1u", b"1m", b"99999999H", b"99999999M", b"99999999S", b"99999999n", b"2562047H",
    b"9999999H", b"123456789S",
    b"-1S", b"+1S", b"1", b"S", b"", b"1X", b"1.5S", b" 1S", b"1S ", b"1SS", b"0x1S", b"1e3S", b"\xff",
    b"9" * 40 + b"S", b"00000001S",
)  # fmt: skip
ODD_CONTENT_TYPES = (
    b"", b"application/json", b"application/grpc+json", b"application/grpc+", b"application/grpc;a=b",
    b"application/grpcx",
    b"APPLICATION/GRPC", b"application/grpc-web", b"\xff", b"application/grpc\0", b"text/html" + b" " * 2000,
)  # fmt: skip
