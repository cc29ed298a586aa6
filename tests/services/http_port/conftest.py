"""A Model Service over HTTP in front of a scripted provider, for the tests of a module."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest
import pytest_asyncio

from services.shared.logs import open_log
from tests.scripted_upstream import ScriptedUpstream
from tests.services.log_file import LogFile
from tests.services.model_service import ModelService, model_service

ALIASES = "fast=gpt-4o,clever=claude-sonnet-4-6"


@pytest.fixture
def log_file() -> LogFile:
    return LogFile()


@pytest_asyncio.fixture
async def upstream() -> AsyncIterator[ScriptedUpstream]:
    async with ScriptedUpstream() as upstream:
        yield upstream


@pytest_asyncio.fixture
async def service(tmp_path: Path, upstream: ScriptedUpstream, log_file: LogFile) -> AsyncIterator[ModelService]:
    log = open_log("models", file=log_file)
    async with model_service(tmp_path, upstream, log=log, http={}, MODELS_ALIASES=ALIASES) as service:
        yield service


@pytest_asyncio.fixture
async def client(service: ModelService) -> AsyncIterator[httpx.AsyncClient]:
    headers = {"content-type": "application/json", "authorization": "Bearer sk-of-the-client"}
    async with httpx.AsyncClient(base_url=service.url, headers=headers, timeout=20, trust_env=False) as client:
        yield client
