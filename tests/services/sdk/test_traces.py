"""Calls of both clients are parts of the program's current span, if it has one."""

from __future__ import annotations

import subprocess
import sys

import pytest
from opentelemetry.sdk.trace import TracerProvider

from genai_platform import AsyncGenAIPlatform, GenAIPlatform
from tests.services.sdk.backend import Backend

SDK_ALONE = """
import sys
import genai_platform
from genai_platform.traces import trace_fields

assert trace_fields() == ()
assert not [name for name in sys.modules if name.startswith("opentelemetry")]
"""


@pytest.fixture
def provider() -> TracerProvider:
    return TracerProvider(shutdown_on_exit=False)


async def test_calls_name_the_current_span_as_their_parent(backend: Backend, provider: TracerProvider) -> None:
    async with AsyncGenAIPlatform(backend.address) as platform:
        with provider.get_tracer("test").start_as_current_span("work") as span:
            await platform.models.list_models()
    context = span.get_span_context()
    ids = f"{context.trace_id:032x}-{context.span_id:016x}"
    assert backend.metadata()["traceparent"] == f"00-{ids}-{context.trace_flags:02x}"


def test_calls_of_the_blocking_client_do_too_unless_they_name_one(backend: Backend, provider: TracerProvider) -> None:
    with GenAIPlatform(backend.address) as platform:
        platform.models.list_models()
        assert "traceparent" not in backend.metadata()
        with provider.get_tracer("test").start_as_current_span("work") as span:
            platform.models.list_models()
            assert f"{span.get_span_context().span_id:016x}" in str(backend.metadata()["traceparent"])
            platform.models.list_models(metadata={"traceparent": "00-own"})
            assert backend.metadata()["traceparent"] == "00-own"


def test_the_sdk_does_not_import_opentelemetry() -> None:
    subprocess.run([sys.executable, "-c", SDK_ALONE], check=True)
