"""The HTTP client behind a proxy: what the proxy is told, what becomes of its refusals, and who is never asked for."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import socket
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from pathlib import Path
from typing import Any

import pytest
import uvloop

from services.models.transport.base import HttpTimeouts
from services.models.transport.client import HttpClient
from services.models.transport.connector import Network
from services.models.transport.egress import EndpointPolicy
from services.models.transport.proxies import read_proxies
from services.models.transport.tls_trust import TlsTrust
from services.shared import errors
from services.shared.fair_quota import FairQuota
from tests.scripted_proxy import OK, ScriptedProxy
from tests.scripted_upstream import Ending, ScriptedUpstream, answer, event_stream, no_answer
from tests.support.certificates import Authority

HEADERS = {"authorization": "Bearer sk-secret"}
BODY = b'{"model": "test"}'
HOST = "models.example"
LIMIT = 12


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture
async def upstream() -> AsyncIterator[ScriptedUpstream]:
    async with ScriptedUpstream(default=answer(b"ok")) as server:
        yield server


@pytest.fixture
async def secure(authority: Authority) -> AsyncIterator[ScriptedUpstream]:
    async with ScriptedUpstream(default=answer(b"ok"), tls=authority.issue(f"DNS:{HOST}")) as server:
        yield server


@pytest.fixture
async def proxy(upstream: ScriptedUpstream) -> AsyncIterator[ScriptedProxy]:
    async with ScriptedProxy({HOST: upstream.port}) as proxy:
        yield proxy


@pytest.fixture(autouse=True)
def known(monkeypatch: pytest.MonkeyPatch) -> dict[str, Sequence[str]]:
    """What names resolve to here; all others to nothing."""
    names: dict[str, Sequence[str]] = {}
    real = socket.getaddrinfo

    def getaddrinfo(host: Any, port: Any, *arguments: Any, **options: Any) -> Any:
        if host not in names:
            raise socket.gaierror(socket.EAI_NONAME, "unknown")
        return [entry for address in names[host] for entry in real(address, port, type=socket.SOCK_STREAM)]

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    return names


@contextlib.asynccontextmanager
async def behind(
    proxy: ScriptedProxy | str, ca_file: Path | None = None, no_proxy: str = "", **options: Any
) -> AsyncIterator[HttpClient]:
    url = proxy if isinstance(proxy, str) else proxy.url
    proxies = read_proxies({"HTTP_PROXY": url, "HTTPS_PROXY": url, "NO_PROXY": no_proxy})
    client = HttpClient(**options, network=Network(proxies, TlsTrust(ca_file)))
    try:
        yield client
    finally:
        await client.close()


async def post(client: HttpClient, url: str = f"http://{HOST}/v1/chat") -> bytes:
    return (await client.post(url, HEADERS, BODY)).body


async def failure_of(call: Coroutine[Any, Any, Any]) -> errors.PlatformError:
    with pytest.raises(errors.PlatformError) as caught:
        await call
    told = f"{caught.value.message} {caught.value.metadata} {caught.value.logged}"
    assert "secret" not in told
    assert caught.value.__cause__ is None
    assert caught.value.__context__ is None or caught.value.__suppress_context__
    return caught.value


# ------------------------------------------------------------------------------------------------- the two ways


async def test_https_goes_through_a_tunnel(secure: ScriptedUpstream, authority: Authority) -> None:
    async with ScriptedProxy({HOST: secure.port}) as proxy, behind(proxy, authority.path) as client:
        assert await post(client, f"https://{HOST}/v1/chat") == b"ok"
        assert await post(client, f"https://{HOST}/v1/chat") == b"ok"
    # One tunnel for both, and nothing secret to the proxy.
    assert proxy.asked == [("CONNECT", f"{HOST}:443")]
    assert proxy.headers == [{"host": f"{HOST}:443"}]
    assert [(request.path, request.headers["host"], request.body) for request in secure.requests] == [
        ("/v1/chat", HOST, BODY)
    ] * 2


async def test_http_is_asked_for_by_its_whole_url(upstream: ScriptedUpstream, proxy: ScriptedProxy) -> None:
    async with behind(proxy) as client:
        assert await post(client) == b"ok"
        assert await post(client, f"http://{HOST}:8080/v1?a=b") == b"ok"
        assert await post(client) == b"ok"
    assert proxy.asked == [
        ("POST", f"http://{HOST}/v1/chat"),
        ("POST", f"http://{HOST}:8080/v1?a=b"),
        ("POST", f"http://{HOST}/v1/chat"),
    ]
    assert [headers["host"] for headers in proxy.headers] == [HOST, f"{HOST}:8080", HOST]
    assert len(upstream.connections) == 2
    assert [request.body for request in upstream.requests] == [BODY] * 3


async def test_name_with_a_dot_at_its_end_is_the_same_server(upstream: ScriptedUpstream, proxy: ScriptedProxy) -> None:
    proxy.servers[f"{HOST}."] = upstream.port
    async with behind(proxy) as client:
        assert await post(client, f"http://{HOST}./") == b"ok"
    assert proxy.asked == [("POST", f"http://{HOST}./")]


async def test_large_body_goes_through_whole(upstream: ScriptedUpstream, proxy: ScriptedProxy) -> None:
    async with behind(proxy) as client:
        await client.post(f"http://{HOST}/", {}, b"x" * 3_000_000)
    assert upstream.requests[0].body == b"x" * 3_000_000


@pytest.mark.parametrize("scheme", ["http", "https"])
@pytest.mark.parametrize("tls", [False, True], ids=["http proxy", "https proxy"])
@pytest.mark.parametrize("run", [asyncio.run, uvloop.run], ids=["asyncio", "uvloop"])
def test_both_ways_on_both_loops(authority: Authority, scheme: str, tls: bool, run: Callable[..., None]) -> None:
    async def main() -> None:
        upstream_tls = authority.issue(f"DNS:{HOST}") if scheme == "https" else None
        proxy_tls = authority.issue("IP:127.0.0.1") if tls else None
        async with (
            ScriptedUpstream(tls=upstream_tls) as upstream,
            ScriptedProxy({HOST: upstream.port}, tls=proxy_tls) as proxy,
            behind(proxy, authority.path) as client,
        ):
            gate = asyncio.Event()
            upstream.play(answer(b"x" * 300_000), event_stream("a", gate, "b"), event_stream("a", ending=Ending.STALL))
            assert await post(client, f"{scheme}://{HOST}/") == b"x" * 300_000
            async with client.stream(f"{scheme}://{HOST}/", HEADERS, BODY) as response:
                assert await response.read() == b"a"
                gate.set()
                assert await response.read_all() == b"b"
            async with client.stream(f"{scheme}://{HOST}/", HEADERS, BODY) as response:
                assert await response.read() == b"a"
            await proxy.is_left()
            upstream.play(answer(b"again"))
            async with client.get(f"{scheme}://{HOST}/", HEADERS) as response:
                assert await response.read_all() == b"again"

    run(main())


@pytest.mark.parametrize("scheme", ["http", "https"])
async def test_credentials_are_decoded_and_go_to_the_proxy_alone(
    upstream: ScriptedUpstream, secure: ScriptedUpstream, authority: Authority, scheme: str
) -> None:
    there = secure if scheme == "https" else upstream
    wanted = f"Basic {base64.b64encode('jürgen@corp:p:a/ss secret'.encode()).decode()}"
    async with ScriptedProxy({HOST: there.port}, authorization=wanted) as proxy:
        url = f"http://j%C3%BCrgen%40corp:p%3Aa%2Fss%20secret@{proxy.address}"
        async with behind(url, authority.path) as client:
            assert await post(client, f"{scheme}://{HOST}/") == b"ok"
            assert await post(client, f"{scheme}://{HOST}/") == b"ok"
    assert not any("proxy" in name for request in there.requests for name in request.headers)


async def test_servers_that_need_no_proxy_are_asked_directly(
    upstream: ScriptedUpstream, proxy: ScriptedProxy, known: dict[str, Sequence[str]]
) -> None:
    known["near.example"] = ["127.0.0.1"]
    async with behind(proxy, no_proxy="near.example") as client:
        assert await post(client, f"http://near.example:{upstream.port}/") == b"ok"
        # Nor is this machine ever asked for through one.
        assert await post(client, f"http://127.0.0.1:{upstream.port}/") == b"ok"
    assert proxy.asked == []


# ------------------------------------------------------------------------------------------------------ refusals


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, errors.PreconditionFailed),
        (403, errors.PreconditionFailed),
        (407, errors.PreconditionFailed),
        (301, errors.PreconditionFailed),
        (500, errors.Unavailable),
        (502, errors.Unavailable),
        (503, errors.Unavailable),
        (504, errors.Unavailable),
    ],
)
@pytest.mark.parametrize("verb", ["post", "stream", "get"])
async def test_refusal_of_a_tunnel_is_the_proxys(status: int, kind: type[errors.PlatformError], verb: str) -> None:
    body = "secret" if status >= 400 else ""
    refusal = f"HTTP/1.1 {status} No\r\nContent-Length: {len(body)}\r\n\r\n{body}".encode()
    async with ScriptedProxy(answers=[[refusal]]) as proxy, behind(f"http://user:secret@{proxy.address}") as client:
        calls: dict[str, Callable[[str], Any]] = {
            "post": lambda url: client.post(url, HEADERS, BODY),
            "stream": lambda url: client.stream(url, HEADERS, BODY).__aenter__(),
            "get": lambda url: client.get(url, HEADERS).__aenter__(),
        }
        error = await failure_of(calls[verb](f"https://{HOST}/"))
        await proxy.is_left()
    assert (type(error), error.reason) == (kind, "PROXY_REFUSED")
    assert error.metadata == {"setting": "HTTPS_PROXY", "http_status": str(status)}
    assert error.logged["proxy"] == proxy.address
    assert error.logged["upstream_host"] == f"{HOST}:443"


@pytest.mark.parametrize("verb", ["post", "get"])
async def test_refusal_of_a_whole_url_for_want_of_credentials_is_the_proxys(
    upstream: ScriptedUpstream, verb: str
) -> None:
    async with ScriptedProxy({HOST: upstream.port}, authorization="Basic other") as proxy, behind(proxy) as client:
        call = post(client) if verb == "post" else client.get(f"http://{HOST}/", HEADERS).__aenter__()
        error = await failure_of(call)
        await proxy.is_left()
    assert (type(error), error.reason) == (errors.PreconditionFailed, "PROXY_REFUSED")
    assert error.metadata == {"setting": "HTTP_PROXY", "http_status": "407"}
    assert upstream.requests == []


@pytest.mark.parametrize(
    "said",
    [
        [],
        [b"SSH-2.0-OpenSSH\r\n\r\n"],
        [b"HTTP/1.1 200 OK"],
        [b"HTTP/1.1 100 Continue\r\n\r\n"],
        [b"HTTP/2 200 OK\r\n\r\n"],
        [OK + b"more"],
        [b"HTTP/1.1 200 OK\r\n" + b"a: b\r\n" * 20_000, None],
    ],
    ids=["nothing", "no HTTP", "half", "interim", "HTTP/2", "more", "no end"],
)
async def test_proxy_that_opens_no_tunnel_as_http_has_it_is_unreachable(said: Sequence[bytes | None]) -> None:
    async with ScriptedProxy(answers=[said]) as proxy, behind(proxy) as client:
        error = await failure_of(post(client, f"https://{HOST}/"))
        await proxy.is_left()
    assert (type(error), error.reason) == (errors.Unavailable, "PROXY_UNREACHABLE")
    assert error.metadata == {"setting": "HTTPS_PROXY"}


@pytest.mark.parametrize("pieces", [[OK[:1], OK[1:17], OK[17:-1], OK[-1:]], [b"HTTP/1.0 103 Early\r\n\r\n", OK]])
async def test_tunnel_is_open_however_the_proxy_says_so(
    secure: ScriptedUpstream, authority: Authority, pieces: Sequence[bytes]
) -> None:
    async with ScriptedProxy({HOST: secure.port}, answers=[pieces]) as proxy, behind(proxy, authority.path) as client:
        assert await post(client, f"https://{HOST}/") == b"ok"


@pytest.mark.parametrize("scheme", ["http", "https"])
async def test_proxy_that_is_not_there_is_unreachable(scheme: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    for address in (f"http://127.0.0.1:{port}", "http://no-such-proxy.example:3128"):
        async with behind(address) as client:
            error = await failure_of(post(client, f"{scheme}://{HOST}/"))
        assert (type(error), error.reason) == (errors.Unavailable, "PROXY_UNREACHABLE")


async def test_proxy_whose_certificate_is_not_trusted_is_unreachable(authority: Authority) -> None:
    async with ScriptedProxy(tls=authority.issue("IP:127.0.0.1")) as proxy, behind(proxy) as client:
        error = await failure_of(post(client, f"https://{HOST}/"))
    assert error.reason == "PROXY_UNREACHABLE"
    assert proxy.asked == []


async def test_silent_proxy_is_left_in_time() -> None:
    timeouts = HttpTimeouts(connect=0.2)
    async with ScriptedProxy(answers=[[None]]) as proxy, behind(proxy, timeouts=timeouts) as client:
        error = await failure_of(post(client, f"https://{HOST}/"))
        await proxy.is_left()
    assert (type(error), error.reason) == (errors.Unavailable, "UPSTREAM_UNREACHABLE")


async def test_call_that_is_cancelled_leaves_the_proxy_at_once() -> None:
    async with ScriptedProxy(answers=[[None]]) as proxy, behind(proxy) as client:
        call = asyncio.create_task(post(client, f"https://{HOST}/"))
        await proxy.was_asked(1)
        call.cancel()
        await proxy.is_left()


async def test_certificate_is_the_servers_and_not_the_proxys_to_show(authority: Authority) -> None:
    for context in (authority.issue("DNS:other.example"), authority.issue("IP:127.0.0.1")):
        async with (
            ScriptedUpstream(tls=context) as upstream,
            ScriptedProxy({HOST: upstream.port}) as proxy,
            behind(proxy, authority.path) as client,
        ):
            error = await failure_of(post(client, f"https://{HOST}/"))
            await proxy.is_left()
            assert (type(error), error.reason) == (errors.PreconditionFailed, "UPSTREAM_TLS")
            assert upstream.requests == []


# ---------------------------------------------------------------------------------------------- in numbers


@pytest.mark.parametrize("scheme", ["http", "https"])
async def test_connections_through_a_proxy_are_counted_for_the_server(
    authority: Authority, upstream: ScriptedUpstream, scheme: str
) -> None:
    quota = FairQuota(LIMIT)
    tls = authority.issue(f"DNS:{HOST}") if scheme == "https" else None
    async with (
        ScriptedUpstream(default=no_answer(), tls=tls) as silent,
        ScriptedProxy({HOST: silent.port, "other.example": upstream.port}) as proxy,
        behind(proxy, authority.path, connections=quota) as client,
    ):
        calls = [asyncio.create_task(post(client, f"{scheme}://{HOST}/")) for _ in range(3 * LIMIT)]
        await silent.received(LIMIT // 2)
        while sum(not call.done() for call in calls) > LIMIT // 2:
            await asyncio.wait([call for call in calls if not call.done()], return_when=asyncio.FIRST_COMPLETED)
        refused = {getattr(call.exception(), "reason", None) for call in calls if call.done()}
        assert refused == {"UPSTREAM_CONNECTIONS_EXHAUSTED"}
        assert await post(client, "http://other.example/") == b"ok"
        for call in calls:
            call.cancel()
        await asyncio.wait(calls)
    assert quota.free == LIMIT


@pytest.mark.parametrize("said", [[b"HTTP/1.1 403 No\r\n\r\n"], [], [b"nonsense\r\n\r\n"]])
async def test_refused_calls_hold_no_connection(said: Sequence[bytes]) -> None:
    quota = FairQuota(LIMIT)
    async with ScriptedProxy(answers=[said] * 3 * LIMIT) as proxy, behind(proxy, connections=quota) as client:
        for _ in range(3 * LIMIT):
            await failure_of(post(client, f"https://{HOST}/"))
        await proxy.is_left()
    assert quota.free == LIMIT


# --------------------------------------------------------------------------------------- the policy behind a proxy

NOTHING_PRIVATE = EndpointPolicy(["none"])
STRANGERS = EndpointPolicy(["none"], discreet=True)
STRANGERS_IN_PRIVATE = EndpointPolicy(["private"], discreet=True)

REFUSED = [
    (NOTHING_PRIVATE, "10.0.0.7", []),
    (NOTHING_PRIVATE, "[fd00::7]", []),
    (NOTHING_PRIVATE, "intranet.example", ["10.0.0.7"]),
    (NOTHING_PRIVATE, "mixed.example", ["8.8.8.8", "10.0.0.7"]),
    (NOTHING_PRIVATE, "unknown.example", []),
    (NOTHING_PRIVATE, "metadata.google.internal", ["8.8.8.8"]),
    (EndpointPolicy(["private", "*.internal"]), "metadata.google.internal", []),
    (EndpointPolicy(["private"]), "metadata", []),
    (EndpointPolicy(["private"]), "169.254.169.254", []),
    (EndpointPolicy(["private"]), "[fd00:ec2::254]", []),
    (EndpointPolicy(["private"]), "metadata.example", ["169.254.169.254"]),
    (STRANGERS, "10.0.0.7", []),
    (STRANGERS, "intranet.example", ["10.0.0.7"]),
    (STRANGERS, "unknown.example", []),
    (STRANGERS, "localhost", ["127.0.0.1"]),
    (STRANGERS, "127.0.0.1", []),
    (STRANGERS_IN_PRIVATE, "unknown.example", []),
    (STRANGERS_IN_PRIVATE, "metadata.example", ["169.254.169.254"]),
]


@pytest.mark.parametrize(("policy", "host", "addresses"), REFUSED)
@pytest.mark.parametrize("scheme", ["http", "https"])
async def test_what_the_policy_denies_is_not_asked_of_the_proxy(
    proxy: ScriptedProxy,
    known: dict[str, Sequence[str]],
    policy: EndpointPolicy,
    host: str,
    addresses: Sequence[str],
    scheme: str,
) -> None:
    if addresses:
        known[host] = addresses
    async with behind(proxy, endpoints=policy) as client:
        assert (await failure_of(post(client, f"{scheme}://{host}/"))).reason == "ENDPOINT_NOT_ALLOWED"
        assert (await failure_of(client.get(f"{scheme}://{host}/", {}).__aenter__())).reason == "ENDPOINT_NOT_ALLOWED"
    assert proxy.asked == []
    assert proxy.open == 0


@pytest.mark.parametrize("policy", [NOTHING_PRIVATE, STRANGERS, STRANGERS_IN_PRIVATE])
@pytest.mark.parametrize(("address", "target"), [("8.8.8.8", "8.8.8.8"), ("2606:4700::1", "[2606:4700::1]")])
async def test_name_that_must_be_checked_goes_to_the_proxy_as_the_address_that_was(
    upstream: ScriptedUpstream,
    proxy: ScriptedProxy,
    known: dict[str, Sequence[str]],
    policy: EndpointPolicy,
    address: str,
    target: str,
) -> None:
    """In a tunnel for http, too: a server that is asked for by its address would not know which of its names is
    meant."""
    known["public.example"] = [address]
    proxy.servers = {address: upstream.port}
    async with behind(proxy, endpoints=policy) as client:
        assert await post(client, "http://public.example/v1") == b"ok"
    assert proxy.asked == [("CONNECT", f"{target}:80")]
    assert upstream.requests[0].headers["host"] == "public.example"


async def test_server_whose_address_was_checked_shows_a_certificate_for_its_name(
    secure: ScriptedUpstream, authority: Authority, known: dict[str, Sequence[str]]
) -> None:
    known[HOST] = ["8.8.8.8"]
    async with (
        ScriptedProxy({"8.8.8.8": secure.port}) as proxy,
        behind(proxy, authority.path, endpoints=STRANGERS) as client,
    ):
        assert await post(client, f"https://{HOST}/") == b"ok"
    assert proxy.asked == [("CONNECT", "8.8.8.8:443")]


@pytest.mark.parametrize(
    "policy",
    [
        EndpointPolicy(["none", HOST]),
        EndpointPolicy(["none", "*.example"], discreet=True),
        EndpointPolicy(["none"], [f"https://{HOST}/v1"], discreet=True),
        EndpointPolicy(["private"]),
    ],
    ids=["named", "named to strangers", "trusted", "private"],
)
async def test_name_that_the_operator_answers_for_is_left_to_the_proxy(
    secure: ScriptedUpstream, authority: Authority, policy: EndpointPolicy
) -> None:
    """It need not resolve here: in many networks only the proxy knows the world's names."""
    async with ScriptedProxy({HOST: secure.port}) as proxy, behind(proxy, authority.path, endpoints=policy) as client:
        assert await post(client, f"https://{HOST}/") == b"ok"
    assert proxy.asked == [("CONNECT", f"{HOST}:443")]


@pytest.mark.parametrize("answers", [[[b"HTTP/1.1 403 No\r\n\r\n"]], [[b"HTTP/1.1 502 No\r\n\r\n"]], [[]]])
async def test_strangers_are_not_told_what_the_proxy_says(
    known: dict[str, Sequence[str]], answers: Sequence[Sequence[bytes]]
) -> None:
    known["public.example"] = ["8.8.8.8"]
    async with ScriptedProxy(answers=answers) as proxy, behind(proxy, endpoints=STRANGERS) as client:
        error = await failure_of(post(client, "https://public.example/"))
    assert (type(error), error.reason, error.metadata) == (errors.Unavailable, "UPSTREAM_UNREACHABLE", {})


async def test_secret_of_the_proxy_is_in_no_representation(proxy: ScriptedProxy) -> None:
    proxies = read_proxies({"HTTPS_PROXY": f"http://user:secret@{proxy.address}"})
    assert proxies.shown() == [f"{proxy.address} (HTTPS_PROXY)"]
    shown = f"{proxies.shown()} {proxies} {proxies._by_scheme}"
    assert "secret" not in shown
    assert base64.b64encode(b"user:secret").decode() not in shown
