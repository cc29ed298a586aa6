"""grpcurl, which knows nothing of the platform, over TLS and mTLS: it learns the contract by reflection, and calls."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from services.access.access import MIGRATIONS
from services.access.first_key import add_admin_key
from services.access.settings import AccessSettings
from services.shared.database import Database
from tests.scripted_upstream import ScriptedUpstream
from tests.services.model_service import LOG, answered, vendor_variables
from tests.support.certificates import Authority
from tests.support.processes import running_platform

CHAT = json.dumps({"model": "gpt-4o", "messages": [{"role": "user", "content": "Hello!"}]})


class Ended(NamedTuple):
    """A run of grpcurl that has ended."""

    code: int
    output: str
    problem: str


class Grpcurl:
    """grpcurl in front of a gateway, with options of every run."""

    def __init__(self, address: str, *options: str) -> None:
        self._address = f"localhost:{address.rpartition(':')[2]}"
        self._options = options

    async def run(self, *arguments: str, options: Sequence[str] = ()) -> Ended:
        program = os.environ.get("GENAI_TEST_GRPCURL") or shutil.which("grpcurl")
        assert program
        command = [program, "-max-time", "20", *self._options, *options, self._address, *arguments]
        pipe = asyncio.subprocess.PIPE
        process = await asyncio.create_subprocess_exec(*command, stdout=pipe, stderr=pipe)
        output, problem = await process.communicate()
        assert process.returncode is not None
        return Ended(process.returncode, output.decode(), problem.decode())

    async def call(self, method: str, request: str) -> list[Any]:
        """The messages of an answer."""
        ended = await self.run(f"genai_platform.v1.{method}", options=["-d", request])
        assert ended.code == 0, ended.problem
        decoder, text, found = json.JSONDecoder(), ended.output.strip(), []
        while text:
            message, end = decoder.raw_decode(text)
            found.append(message)
            text = text[end:].strip()
        return found


@pytest.fixture
async def upstream() -> AsyncIterator[ScriptedUpstream]:
    if not (os.environ.get("GENAI_TEST_GRPCURL") or shutil.which("grpcurl")):
        pytest.skip("grpcurl is not installed; GENAI_TEST_GRPCURL may name it")
    async with ScriptedUpstream(default=answered) as server:
        yield server


async def first_key(directory: Path) -> str:
    url = AccessSettings.model_validate({"GENAI_DATA_DIR": directory}).choose_access_database_url()
    database = await Database.open(url, MIGRATIONS, LOG)
    try:
        return (await add_admin_key(database, "first")).secret
    finally:
        await database.close()


async def test_grpcurl_calls_over_tls_with_a_key_and_over_mtls(tmp_path: Path, upstream: ScriptedUpstream) -> None:
    authority = Authority(tmp_path)
    server, client = authority.issue_files("DNS:localhost"), authority.issue_files("DNS:client")
    settings = {**vendor_variables(upstream.url), "AUTH_MODE": "required", "GENAI_DATA_DIR": str(tmp_path / "data")}
    key = await first_key(tmp_path / "data")
    of_client = ("-cert", str(client.certificate), "-key", str(client.key))
    trusts, with_key = ("-cacert", str(authority.path)), ("-H", f"authorization: Bearer {key}")
    with running_platform(tmp_path, **settings) as platform:
        tls = {"GENAI_TLS_CERT_FILE": str(server.certificate), "GENAI_TLS_KEY_FILE": str(server.key)}
        for mutual in ({}, {"GENAI_TLS_CLIENT_CA_FILE": str(authority.path)}):
            await asyncio.to_thread(platform.start, "gateway", **tls, **mutual)
            own = of_client if mutual else ()
            grpcurl = Grpcurl(platform.address, *trusts, *own, *with_key)
            listed = await grpcurl.run("list")
            assert "genai_platform.v1.ModelService" in listed.output.split(), listed.problem
            [response] = await grpcurl.call("ModelService/Chat", CHAT)
            assert response["text"] == "Hi."
            *_, last = await grpcurl.call("ModelService/ChatStream", CHAT)
            assert last["response"]["text"] == "Hi."
            anonymous = await Grpcurl(platform.address, *trusts, *own).run("list")
            assert "Unauthenticated" in anonymous.problem
            distrusting = await Grpcurl(platform.address, *own, *with_key).run("list")
            assert "certificate" in distrusting.problem
            if mutual:
                unknown = await Grpcurl(platform.address, *trusts, *with_key).run("list")
                assert (unknown.code, unknown.output) == (1, "")
