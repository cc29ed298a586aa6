"""Replicas of the ModelRegistry over one database: each sees what the others do, and the database decides."""

from __future__ import annotations

import asyncio
import contextlib
import random
import socket
from pathlib import Path

import grpc
import pytest

from proto import models_pb2
from services.models.custom_models.model_registry import ModelRegistry
from services.shared.errors import AlreadyExists, NotFound, Unavailable
from tests.scripted_upstream import ScriptedUpstream, json_answer
from tests.services.model_registries import NOWHERE, endpoint_of, model, replica
from tests.services.model_service import chat_request, completion, model_service
from tests.support.errors import failure_of

ELSEWHERE = "http://127.0.0.1:9/v2"


def removal(name: str = "mine") -> models_pb2.DeregisterModelRequest:
    return models_pb2.DeregisterModelRequest(name=name)


async def test_change_on_one_replica_is_seen_by_the_other_within_a_second(database_url: str) -> None:
    async with replica(database_url) as here, replica(database_url) as there:
        await here.registry.register(model(aliases=["fast"]))
        await there.sees(lambda registry: endpoint_of(registry, "fast") == NOWHERE)
        await there.registry.register(model(endpoint=ELSEWHERE, aliases=["faster"]))
        await here.sees(lambda registry: endpoint_of(registry, "faster") == ELSEWHERE)
        assert here.registry.find("fast") is None
        await here.registry.deregister(removal())
        await there.sees(lambda registry: registry.find("mine") is None)
        assert there.registry.find("faster") is None
        assert there.board.newest("mine") is None


async def test_override_and_its_give_back_are_seen_by_the_other_replica(database_url: str) -> None:
    async with replica(database_url) as here, replica(database_url) as there:
        await here.registry.register(model("gpt-4o"))
        await there.sees(lambda registry: registry.find("gpt-4o") is not None)
        assert (await there.registry.deregister(removal("gpt-4o"))).builtin_restored
        await here.sees(lambda registry: registry.find("gpt-4o") is None)


async def test_same_registration_on_both_replicas_at_once_is_one(database_url: str) -> None:
    async with replica(database_url, watching=False) as here, replica(database_url, watching=False) as there:
        answers = await asyncio.gather(*(each.registry.register(model()) for each in (here, there) * 3))
        assert sum(answer.created for answer in answers) == 1
        assert len({answer.model.registered_at for answer in answers}) == 1


async def test_of_two_replicas_that_give_away_one_alias_at_once_one_succeeds(database_url: str) -> None:
    async with replica(database_url) as here, replica(database_url) as there:
        results = await asyncio.gather(
            here.registry.register(model("ours", aliases=["alias"])),
            there.registry.register(model("theirs", aliases=["alias"])),
            return_exceptions=True,
        )
        assert sum(isinstance(result, AlreadyExists) for result in results) == 1
        await here.sees(lambda registry: registry.find("alias") is not None)
        await there.sees(lambda registry: registry.find("alias") == here.registry.find("alias"))


async def test_alias_that_moves_from_model_to_model_leads_to_its_new_one_everywhere(database_url: str) -> None:
    async with replica(database_url, watching=False) as here, replica(database_url, watching=False) as there:
        for name, aliases in (("a", ["x"]), ("b", []), ("c", ["y"])):
            await here.registry.register(model(name, aliases=aliases))
        await there.registry.load()
        await here.registry.register(model("a"))
        await here.registry.register(model("b", ELSEWHERE, aliases=["x", "y2"]))
        await here.registry.deregister(removal("c"))
        await here.registry.register(model("a", aliases=["y"]))
        await there.registry.load()
        for each in (here, there):
            assert endpoint_of(each.registry, "x") == ELSEWHERE
            assert endpoint_of(each.registry, "y") == NOWHERE
            assert each.registry.find("c") is None


async def test_model_that_another_replica_has_removed_is_not_found_and_forgotten(database_url: str) -> None:
    async with replica(database_url, watching=False) as here, replica(database_url, watching=False) as there:
        await here.registry.register(model())
        await there.registry.deregister(removal())
        with pytest.raises(NotFound):
            await here.registry.deregister(removal())
        assert here.registry.find("mine") is None


async def test_loading_again_leaves_unchanged_models_and_their_probes_alone(database_url: str) -> None:
    async with (
        ScriptedUpstream(default=json_answer({"data": [{"id": "mine"}]})) as upstream,
        replica(database_url, watching=False) as here,
        replica(database_url, watching=False) as there,
    ):
        await here.registry.register(model(endpoint=f"{upstream.url}/v1"))
        found, status = here.registry.find("mine"), here.board.newest("mine")
        await there.registry.register(model("other"))
        for _ in range(3):
            await here.registry.load()
        assert list(here.registry.names) == ["mine", "other"]
        assert here.registry.find("mine") is found
        assert here.board.newest("mine") == status
        assert len(upstream.requests) == 1


async def test_before_anything_is_loaded_the_registry_says_that_it_does_not_know(database_url: str) -> None:
    async with replica(database_url, watching=False) as there, replica(database_url, watching=False) as here:
        await there.registry.register(model("theirs", aliases=["taken"]))
        assert here.registry.find("theirs") is None
        with pytest.raises(Unavailable) as raised:
            await here.registry.list(models_pb2.ListRegisteredModelsRequest())
        assert (raised.value.reason, raised.value.retry_after) == ("STORAGE_UNAVAILABLE", 1.0)
        with pytest.raises(AlreadyExists):
            await here.registry.register(model("ours", aliases=["taken"]))
        assert (await here.registry.register(model("ours"))).created
        assert here.registry.find("ours") is not None
        await here.registry.load()
        assert list(here.registry.names) == ["ours", "theirs"]
        here.registry.require_loaded()


async def test_service_that_starts_without_its_database_serves_what_needs_none_and_says_what_it_does_not_know(
    tmp_path: Path,
) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        url = f"postgresql://nobody@127.0.0.1:{closed.getsockname()[1]}/nothing"
        async with (
            ScriptedUpstream(default=json_answer(completion("Hi."))) as upstream,
            model_service(tmp_path, upstream, MODELS_DATABASE_URL=url) as service,
        ):
            stub = service.stub
            assert (await stub.Chat(chat_request("gpt-4o"))).text == "Hi."
            assert (await stub.ListModels(models_pb2.ListModelsRequest())).models
            for call in (
                stub.Chat(chat_request("mine")),
                stub.GetModelStatus(models_pb2.GetModelStatusRequest(name="mine")),
                stub.ListRegisteredModels(models_pb2.ListRegisteredModelsRequest()),
                stub.RegisterModel(model()),
                stub.RegisterModel(model(validate_only=True)),
                stub.DeregisterModel(removal()),
            ):
                async with asyncio.timeout(3):
                    failure = await failure_of(call)
                assert (failure.code, failure.reason) == (grpc.StatusCode.UNAVAILABLE, "STORAGE_UNAVAILABLE")
                assert failure.retry_seconds


async def test_no_write_is_undone_in_memory_by_what_was_read_before_it(database_url: str) -> None:
    """Loads and writes of two replicas in any order: in the end, each holds what the database holds."""
    order = random.Random(7)

    async def change(registry: ModelRegistry) -> None:
        name = f"m{order.randrange(3)}"
        with contextlib.suppress(NotFound, AlreadyExists):
            if order.random() < 0.3:
                await registry.deregister(removal(name))
            else:
                aliases = order.sample(["x", "y"], order.randrange(3))
                await registry.register(model(name, f"http://127.0.0.1:9/v{order.randrange(9)}", aliases=aliases))

    async with replica(database_url) as here, replica(database_url) as there:
        for _ in range(8):
            await asyncio.gather(
                *(change(each.registry) for each in (here, there) * 4),
                *(each.registry.load() for each in (here, there) * 3),
            )
        async with replica(database_url, watching=False) as fresh:
            await fresh.registry.load()
            for each in (here, there):
                await each.sees(lambda registry: _leads(registry) == _leads(fresh.registry))


def _leads(registry: ModelRegistry) -> dict[str, str | None]:
    return {name: endpoint_of(registry, name) for name in ("m0", "m1", "m2", "x", "y")}
