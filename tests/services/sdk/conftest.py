"""What the tests of the SDK call: a platform with scripted answers, or the real services."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import pytest

from genai_platform import AsyncGenAIPlatform, GenAIPlatform
from tests.services.in_thread import in_thread
from tests.services.sdk.backend import Backend, serving
from tests.services.sdk.platform import serving_platform


@pytest.fixture(scope="module")
def module_backend() -> Iterator[Backend]:
    with in_thread(serving()) as backend:
        yield backend


@pytest.fixture
def backend(module_backend: Backend) -> Iterator[Backend]:
    """A platform with nothing scripted, for tests of the SDK."""
    yield module_backend
    module_backend.forget()


@pytest.fixture
def platform(backend: Backend) -> Iterator[GenAIPlatform]:
    """A client that makes each call once; what is tried again is tested with clients of its own."""
    with GenAIPlatform(backend.address, max_retries=0) as platform:
        yield platform


@pytest.fixture
async def async_platform(backend: Backend) -> AsyncIterator[AsyncGenAIPlatform]:
    async with AsyncGenAIPlatform(backend.address, max_retries=0) as platform:
        yield platform


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The gateway of real services, in front of a provider that repeats what it was sent."""
    with in_thread(serving_platform(tmp_path_factory.mktemp("platform"))) as address:
        yield address
