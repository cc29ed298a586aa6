"""What lies below a base URL, and what of a wrong one may be logged."""

from __future__ import annotations

from services.models.transport.base_urls import BaseUrl, redact_url
from tests.rows import for_each

BASE = BaseUrl.of("https://llama.internal/team-a/v1")


@for_each(
    "url",
    [
        "https://llama.internal/team-a/v1",
        "https://llama.internal/team-a/v1/",
        "https://llama.internal/team-a/v1/models?limit=10",
        "https://llama.internal:443/team-a/v1/deeper/still",
        "HTTPS://LLAMA.Internal/team-a/v1",
    ],
)
def test_url_at_or_below_a_base_url_is_covered(url: str) -> None:
    assert BASE.covers(url)


@for_each(
    "url",
    [
        "http://llama.internal/team-a/v1",
        "https://llama.internal:8443/team-a/v1",
        "https://llama.internal./team-a/v1",
        "https://llama.internal.evil.example/team-a/v1",
        "https://evil.example/team-a/v1",
        "https://evil.example/llama.internal/team-a/v1",
        "https://llama.internal",
        "https://llama.internal/team-a",
        "https://llama.internal/team-b/v1",
        "https://llama.internal/team-a/v10",
        "https://llama.internal/team-a/v1x/models",
        "https://llama.internal/TEAM-A/v1",
        "https://llama.internal//team-a/v1",
        "https://llama.internal/team-a//v1",
        "https://llama.internal/team-a/v1//models",
        "https://llama.internal/team-a/v1/../../team-b/v1",
        "https://llama.internal/team-a/v1/..",
        "https://llama.internal/team-a/v1/./models",
        "https://llama.internal/team-a/v1/%2e%2e/x",
        "https://llama.internal/team-a/v1/..%2fx",
        "https://llama.internal/team-a/v1/%252e%252e/x",
        "https://llama.internal/team-a/v1/..;/x",
        "https://llama.internal/team-a/v1\\..\\x",
        "https://llama.internal/%74eam-a/v1",
    ],
)
def test_url_that_some_server_could_take_for_another_place_is_not_covered(url: str) -> None:
    assert not BASE.covers(url)


def test_server_without_a_path_covers_all_its_plain_paths() -> None:
    server = BaseUrl.of("http://[::1]:8000/")
    assert server.covers("http://[::1]:8000/health")
    assert not server.covers("http://[::1]:8000/../health")
    assert not server.covers("http://[::1]/health")
    assert (str(server), str(BASE)) == ("http://[::1]:8000", "https://llama.internal/team-a/v1")


@for_each(
    ("url", "shown"),
    [
        ("http://localhost:8000/v1", "http://localhost:8000/v1"),
        ("https://models.example/@team/v1", "https://models.example/@team/v1"),
        ("http://user:secret@models.example:80/v1", "http://models.example:80/v1"),
        ("http://secret@models.example", "http://models.example"),
        ("http://models.example/v1?key=secret", "http://models.example/v1"),
        ("http://models.example/v1#secret", "http://models.example/v1"),
        ("http://user:secret/more@models.example/v1", "(no URL)"),
        ("http:\\\\user:secret@models.example", "(no URL)"),
        ("http://models.example\\secret@evil.example", "(no URL)"),
        ("user:secret@models.example/v1", "(no URL)"),
        ("secret", "(no URL)"),
        ("", "(no URL)"),
        ("http://models.example:secret", "(no URL)"),
        ("http://" + "a" * 1_000_000, "(no URL)"),
    ],
)
def test_what_is_logged_of_a_callers_url_holds_no_secret(url: str, shown: str) -> None:
    assert redact_url(url) == shown
