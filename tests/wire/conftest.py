"""The adapter in front of the scripted provider, which nearly all of these tests are about."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from tests.scripted_upstream import ScriptedUpstream
from tests.wire.adapters import Adapter, Subject


@pytest.fixture
async def subject(adapter: Adapter, upstream: ScriptedUpstream) -> AsyncIterator[Subject]:
    """Of a module that is about one adapter alone, `adapter` is a fixture; of others, a parameter."""
    subject = Subject(adapter, upstream)
    yield subject
    await subject.transport.close()
