"""Which addresses the Model Service may connect to, and what an operator can say about it."""

from __future__ import annotations

import ipaddress

import pytest

from services.models.settings import Settings
from services.models.transport.address_ranges import Kind, addresses_reached, range_of
from services.models.transport.egress import EndpointPolicy, ends_in_number
from services.shared.errors import PreconditionFailed, StartupError
from services.shared.settings import is_loopback, load_settings
from tests.rows import for_each

PUBLIC = ["8.8.8.8", "1.1.1.1", "172.15.0.1", "172.32.0.1", "100.63.0.1", "192.169.0.1", "2606:4700::1", "2001:4860::8"]
LOCAL = [
    "127.0.0.1",
    "127.255.255.254",
    "10.0.0.1",
    "172.16.0.1",
    "172.31.255.255",
    "192.168.1.1",
    "100.64.0.1",
    "::1",
    "fd12:3456::1",
    "::ffff:127.0.0.1",
    "::ffff:10.0.0.1",
]
LOCAL_INSIDE_OTHERS = [
    "2002:7f00:1::",
    "2002:a00:1::1",
    "64:ff9b::7f00:1",
    "64:ff9b::10.0.0.1",
    "2001:4860::5efe:a00:1",
]
GUARDED = [
    "169.254.169.254",
    "169.254.170.2",
    "fe80::1",
    "fd00:ec2::254",
    "fd20:ce::254",
    "100.100.100.200",
    "168.63.129.16",
    "192.0.0.192",
    "0.0.0.0",
    "0.1.2.3",
    "::",
    "224.0.0.1",
    "ff02::1",
    "255.255.255.255",
    "240.0.0.1",
    "203.0.113.1",
    "::ffff:169.254.169.254",
    "::169.254.169.254",
    "2002:a9fe:a9fe::",
    "64:ff9b::a9fe:a9fe",
    "64:ff9b:1::a9fe:a9fe",
    "2001:0:a9fe:a9fe::1",
    "fec0::1",
]


def allows(policy: EndpointPolicy, *addresses: str, host: str = "models.example") -> bool:
    try:
        policy.check(host, 443, addresses)
    except PreconditionFailed:
        return False
    return True


def test_refusal_says_which_setting_to_change_and_not_which_address_was_found() -> None:
    with pytest.raises(PreconditionFailed) as caught:
        EndpointPolicy(["none"]).check("models.example", 443, ["10.0.0.1"])
    assert caught.value.reason == "ENDPOINT_NOT_ALLOWED"
    assert caught.value.metadata == {"setting": "MODELS_ALLOWED_ENDPOINTS"}
    assert "MODELS_ALLOWED_ENDPOINTS" in caught.value.message
    assert "10.0.0.1" not in caught.value.message


@for_each("address", PUBLIC)
def test_public_addresses_are_always_allowed(address: str) -> None:
    assert allows(EndpointPolicy(["none"]), address)


@for_each("address", LOCAL + LOCAL_INSIDE_OTHERS)
def test_loopback_and_private_addresses_are_allowed_only_where_the_operator_says_so(address: str) -> None:
    assert not allows(EndpointPolicy(["none"]), address)
    assert not allows(EndpointPolicy([]), address)
    assert allows(EndpointPolicy(["private"]), address)


@for_each("address", GUARDED)
def test_link_local_metadata_and_reserved_addresses_are_denied_unless_just_they_are_named(address: str) -> None:
    assert not allows(EndpointPolicy(["private", "0.0.0.0/0", "::/0", "models.example", "*.example"]), address)


@for_each(
    ("entry", "address"),
    [
        ("169.254.169.254", "169.254.169.254"),
        ("169.254.0.0/16", "169.254.1.1"),
        ("169.254.0.0/16", "::ffff:169.254.1.1"),
        ("fe80::/10", "fe80::1"),
        ("fd00:ec2::254", "fd00:ec2::254"),
        ("192.0.2.0/24", "192.0.2.7"),
    ],
)
def test_guarded_address_is_allowed_by_an_entry_for_just_its_kind(entry: str, address: str) -> None:
    assert allows(EndpointPolicy([entry]), address)


def test_networks_open_what_lies_in_them() -> None:
    policy = EndpointPolicy(["10.1.0.0/16", " FD12::/16 ", "192.168.1.7"])
    assert allows(policy, "10.1.2.3", "fd12::1", "192.168.1.7", "::ffff:10.1.2.3")
    assert not allows(policy, "10.2.0.1")
    assert not allows(policy, "192.168.1.8")
    assert not allows(policy, "127.0.0.1")


def test_one_denied_address_denies_the_host() -> None:
    assert not allows(EndpointPolicy(["none"]), "8.8.8.8", "127.0.0.1")


@for_each(
    ("entry", "host", "allowed"),
    [
        ("vllm.internal", "vllm.internal", True),
        ("VLLM.internal", "vllm.INTERNAL.", True),
        ("vllm.internal", "other.internal", False),
        ("vllm.internal", "vllm.internal.evil.example", False),
        ("*.models.svc", "a.models.svc", True),
        ("*.models.svc", "a.b.models.svc", True),
        ("*.models.svc", "models.svc", False),
        ("*.models.svc", "evilmodels.svc", False),
        ("*.Bücher.example", "a.xn--bcher-kva.example", True),
    ],
)
def test_named_hosts_may_have_private_addresses(entry: str, host: str, allowed: bool) -> None:
    assert allows(EndpointPolicy([entry]), "10.0.0.1", host=host) is allowed
    assert not allows(EndpointPolicy([entry]), "169.254.169.254", host=host)


@for_each("host", ["metadata.google.internal", "Metadata.Google.Internal.", "metadata", "instance-data"])
def test_names_of_metadata_services_are_denied_whatever_they_resolve_to(host: str) -> None:
    assert not allows(EndpointPolicy(["private", "*.google.internal"]), "8.8.8.8", host=host)
    assert allows(EndpointPolicy([host.lower().rstrip(".")]), "8.8.8.8", host=host)


def test_servers_that_the_operator_configured_are_always_allowed_at_their_own_port() -> None:
    policy = EndpointPolicy(["none"], ["http://Proxy.internal:4000/v1", "https://127.0.0.1"])
    policy.check("proxy.internal", 4000, ["10.0.0.1"])
    policy.check("127.0.0.1", 443, ["127.0.0.1"])
    with pytest.raises(PreconditionFailed):
        policy.check("proxy.internal", 4001, ["10.0.0.1"])


@for_each("entry", ["10.0.0.1/8", "10.0.0.0/33", "0x7f.1", "127.1", "http://host", "a b", "*", "*.", "-é", "☃.net"])
def test_entry_that_is_none_is_refused_at_start(entry: str) -> None:
    with pytest.raises(StartupError, match="MODELS_ALLOWED_ENDPOINTS"):
        EndpointPolicy([entry])


@pytest.mark.parametrize(
    ("host", "setting", "expected"),
    [
        ("127.0.0.1", None, True),
        ("localhost", None, True),
        ("::1", None, True),
        ("0.0.0.0", None, False),
        ("::", None, False),
        ("10.0.0.5", None, False),
        ("127.0.0.1", "none", False),
        ("0.0.0.0", "private", True),
        ("0.0.0.0", "example.com, 10.0.0.0/8", True),
    ],
)
def test_private_ranges_are_the_default_only_of_a_server_on_the_loopback_address(
    monkeypatch: pytest.MonkeyPatch, host: str, setting: str | None, expected: bool
) -> None:
    monkeypatch.setenv("GENAI_HOST", host)
    monkeypatch.setenv("MODELS_ALLOWED_ENDPOINTS", setting or "")
    settings = load_settings(Settings)
    assert allows(EndpointPolicy(settings.choose_allowed_endpoints(by_stranger=False)), "10.0.0.1") is expected


@for_each("host", ["127.0.0.1", "2130706433", "0x7f000001", "0177.0.0.1", "127.1", "1.2.3.4.", "0x"])
def test_host_that_ends_in_a_number_is_taken_for_an_address(host: str) -> None:
    assert ends_in_number(host)


@for_each("host", ["vllm0", "a.b1", "localhost", "7.example", "0x7g"])
def test_host_that_ends_in_a_word_is_a_name(host: str) -> None:
    assert not ends_in_number(host)
    assert is_loopback(host) is (host == "localhost")


def test_every_kind_of_address_has_the_kind_that_its_list_says() -> None:
    for address in LOCAL:
        kinds = {entry and entry.kind for entry in map(range_of, addresses_reached(ipaddress.ip_address(address)))}
        assert kinds == {Kind.PRIVATE}
    for address in GUARDED:
        kinds = {entry and entry.kind for entry in map(range_of, addresses_reached(ipaddress.ip_address(address)))}
        assert Kind.GUARDED in kinds


@for_each(
    ["host", "listening"],
    [
        ("127.0.0.1", "127.0.0.1"),
        ("localhost", "127.0.0.1"),
        ("LOCALHOST.", "0.0.0.0"),
        ("::1", "::"),
        ("10.0.0.5", "10.0.0.5"),
    ],
)
def test_own_port_is_refused_even_at_a_trusted_server(host: str, listening: str) -> None:
    url_host = f"[{host}]" if ":" in host else host
    policy = EndpointPolicy(trusted_urls=[f"http://{url_host}:50080/v1"])
    policy.check(host, 50080, [])
    policy.close_own_port(listening, 50080)
    assert policy.is_own(f"http://{url_host}:50080/v1")
    with pytest.raises(PreconditionFailed, match="own port for HTTP"):
        policy.check(host, 50080, [])
    policy.check(host, 50081, ["127.0.0.1"])


def test_port_of_another_address_of_the_machine_is_not_the_own_one() -> None:
    policy = EndpointPolicy()
    policy.close_own_port("127.0.0.2", 50080)
    policy.check("127.0.0.1", 50080, ["127.0.0.1"])


def test_own_port_is_refused_by_the_address_of_a_name() -> None:
    policy = EndpointPolicy(["models.internal"])
    policy.close_own_port("127.0.0.1", 50080)
    with pytest.raises(PreconditionFailed, match="own port for HTTP"):
        policy.check("models.internal", 50080, ["10.0.0.7", "127.0.0.1"])
    policy.check("models.internal", 50080, ["10.0.0.7"])


def test_strangers_do_not_learn_the_own_port() -> None:
    policy = EndpointPolicy(["private"], discreet=True)
    policy.close_own_port("127.0.0.1", 50080)
    with pytest.raises(PreconditionFailed) as refused:
        policy.check("127.0.0.1", 50080, ["127.0.0.1"])
    assert "own port" not in refused.value.message
