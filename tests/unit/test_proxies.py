"""Which servers are reached through which proxy, by the variables of the environment."""

from __future__ import annotations

import base64
from collections.abc import Mapping

import pytest

from services.models.transport.proxies import read_proxies
from services.models.transport.request_head import Origin
from services.shared.errors import StartupError
from tests.rows import for_each

PROXY = "http://proxy.example:3128"


def origin(url: str) -> Origin:
    scheme, _, rest = url.partition("://")
    host, _, port = rest.rpartition(":")
    return Origin(scheme == "https", host, int(port))


def found(environment: Mapping[str, str], url: str = "https://models.example:443", setting: str = "") -> str | None:
    """The variable of the proxy that a server is reached through."""
    proxy = read_proxies(environment, setting).find(origin(url))
    return proxy.variable if proxy else None


@for_each(
    ("environment", "http", "https"),
    [
        ({}, None, None),
        ({"HTTPS_PROXY": PROXY}, None, "HTTPS_PROXY"),
        ({"HTTP_PROXY": PROXY}, "HTTP_PROXY", None),
        ({"ALL_PROXY": PROXY}, "ALL_PROXY", "ALL_PROXY"),
        ({"ALL_PROXY": PROXY, "http_proxy": PROXY}, "http_proxy", "ALL_PROXY"),
        ({"HTTPS_PROXY": PROXY, "https_proxy": PROXY}, None, "https_proxy"),
        ({"HTTP_PROXY": PROXY, "http_proxy": PROXY}, "http_proxy", None),
        ({"HTTPS_PROXY": PROXY, "https_proxy": " "}, None, "HTTPS_PROXY"),
        ({"HTTPS_PROXY": "", "all_proxy": PROXY}, "all_proxy", "all_proxy"),
        ({"HTTP_PROXY": PROXY, "HTTPS_PROXY": PROXY, "ALL_PROXY": "socks5://x"}, "HTTP_PROXY", "HTTPS_PROXY"),
    ],
)
def test_proxy_is_the_one_for_the_scheme_of_the_url(
    environment: Mapping[str, str], http: str | None, https: str | None
) -> None:
    assert found(environment, "http://models.example:80") == http
    assert found(environment, "https://models.example:443") == https


def test_setting_stands_before_the_environment() -> None:
    environment = {"HTTPS_PROXY": "socks5://other.example", "NO_PROXY": "near.example"}
    assert found(environment, setting=PROXY) == "MODELS_PROXY"
    assert found(environment, "http://models.example:80", PROXY) == "MODELS_PROXY"
    assert found(environment, "https://near.example:443", PROXY) is None
    assert found(environment, setting="none") is None


@for_each(
    ("entry", "covered", "others"),
    [
        ("*", ["https://models.example:443", "http://8.8.8.8:80"], []),
        (
            "models.example",
            ["https://models.example:443", "https://a.b.models.example.:443"],
            ["https://xmodels.example:1"],
        ),
        (".models.example", ["https://models.example:443", "https://a.models.example:443"], ["https://example:443"]),
        ("*.models.example", ["https://models.example:443", "https://a.models.example:443"], ["https://example:443"]),
        ("MODELS.example.", ["https://models.example:443"], ["https://models.example.org:443"]),
        ("models.example:8443", ["https://a.models.example:8443"], ["https://models.example:443"]),
        ("*:8443", ["https://models.example:8443"], ["https://models.example:443"]),
        ("bücher.example", ["https://xn--bcher-kva.example:443"], ["https://models.example:443"]),
        ("10.1.2.3", ["http://10.1.2.3:80"], ["http://10.1.2.4:80"]),
        ("10.1.2.3:8000", ["http://10.1.2.3:8000"], ["http://10.1.2.3:80"]),
        ("10.1.2.3/16", ["http://10.1.255.1:80"], ["http://10.2.0.1:80", "http://ten.example:80"]),
        ("fd00::/8", ["http://fd12::1:80"], ["http://fe12::1:80", "http://10.1.2.3:80"]),
        ("fd12::1", ["http://fd12::1:80"], ["http://fd12::2:80"]),
        ("fd12:0:0:0:0:0:0:1", ["http://fd12::1:80"], ["http://fd12::2:80"]),
        ("[fd12::1]:8000", ["http://fd12::1:8000"], ["http://fd12::1:80"]),
        ("one.example,two.example three.example\tfour.example", ["https://three.example:443"], ["https://example:443"]),
        ("<local>, 10.0.0.0/33, -ü, :, ,,", [], ["https://models.example:443", "http://10.0.0.1:80"]),
    ],
)
def test_entry_of_no_proxy_covers(entry: str, covered: list[str], others: list[str]) -> None:
    environment = {"HTTP_PROXY": PROXY, "HTTPS_PROXY": PROXY, "NO_PROXY": entry}
    assert [found(environment, url) for url in covered] == [None] * len(covered)
    assert None not in [found(environment, url) for url in others]


def test_lower_case_stands_before_upper_case_in_exceptions_too() -> None:
    environment = {"HTTPS_PROXY": PROXY, "NO_PROXY": "models.example", "no_proxy": "other.example"}
    assert found(environment) == "HTTPS_PROXY"


@for_each(
    "host",
    [
        "localhost",
        "a.localhost",
        "localhost.",
        "127.0.0.1",
        "127.1.2.3",
        "::1",
        "::ffff:127.0.0.1",
        "169.254.169.254",
        "fe80::1",
    ],
)
def test_this_machine_is_never_asked_for_through_a_proxy(host: str) -> None:
    proxies = read_proxies({"ALL_PROXY": PROXY})
    assert proxies.find(Origin(False, host, 8000)) is None
    assert proxies.find(Origin(False, "192.168.1.1", 8000)) is not None


@for_each(
    ("url", "expected"),
    [
        ("http://proxy.example:3128", Origin(False, "proxy.example", 3128)),
        ("proxy.example:3128", Origin(False, "proxy.example", 3128)),
        ("HTTP://PROXY.example/", Origin(False, "proxy.example", 80)),
        ("https://proxy.example", Origin(True, "proxy.example", 443)),
        ("http://[fd12::1]:3128", Origin(False, "fd12::1", 3128)),
        ("http://prüxy.example:1", Origin(False, "xn--prxy-1ra.example", 1)),
    ],
)
def test_address_of_a_proxy(url: str, expected: Origin) -> None:
    proxy = read_proxies({"HTTPS_PROXY": url}).find(origin("https://models.example:443"))
    assert proxy
    assert (proxy.origin, proxy.header_lines) == (expected, b"")


@for_each(
    ("written", "credentials"),
    [
        ("user:word", "user:word"),
        ("user", "user:"),
        ("user:", "user:"),
        (":word", ":word"),
        ("DOMAIN%5Cuser:a%40b%3Ac%2Fd%25", "DOMAIN\\user:a@b:c/d%"),
        ("j%C3%BCrgen:%E2%82%AC", "jürgen:€"),
        ("a@b:word", "a@b:word"),
        ("user:a\r\nb".replace("\r\n", "%0D%0A"), "user:a\r\nb"),
    ],
)
def test_credentials_of_a_proxy_are_decoded(written: str, credentials: str) -> None:
    proxy = read_proxies({"HTTPS_PROXY": f"http://{written}@proxy.example"}).find(origin("https://models.example:443"))
    assert proxy
    expected = base64.b64encode(credentials.encode()).decode()
    assert proxy.header_lines == f"Proxy-Authorization: Basic {expected}\r\n".encode()


@for_each(
    "url",
    [
        "socks5://user:secret@proxy.example:1080",
        "socks5h://secret.example",
        "ftp://secret.example",
        "http://",
        "http://:3128",
        "http://secret.example:0",
        "http://secret.example:99999",
        "http://secret.example:port",
        "http://[secret",
        "http://-ü.secret.example",
        "http://a%3Ab:secret@proxy.example",
    ],
)
@for_each("variable", ["https_proxy", "ALL_PROXY", "MODELS_PROXY"])
def test_proxy_that_cannot_be_used_is_refused_at_start(url: str, variable: str) -> None:
    setting = url if variable == "MODELS_PROXY" else ""
    with pytest.raises(StartupError) as refused:
        read_proxies({} if setting else {variable: url}, setting)
    assert str(refused.value).startswith(f"{variable}: ")
    assert "secret" not in str(refused.value)
