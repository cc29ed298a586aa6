"""Bindings: the projects and scopes of callers that come with a token or a certificate."""

from __future__ import annotations

import secrets

from proto.access_pb2 import (
    Binding,
    DeleteBindingRequest,
    DeleteBindingResponse,
    ListBindingsRequest,
    ListBindingsResponse,
    SetBindingRequest,
)
from services.access.audit import Actor
from services.access.changes import Changes
from services.access.records import BINDINGS, PROJECTS
from services.access.validation import DEFAULT_SCOPES, check_binding


class Bindings:
    """The bindings of claims to projects."""

    def __init__(self, changes: Changes) -> None:
        self._changes = changes

    async def set(self, request: SetBindingRequest, by: Actor) -> Binding:
        binding = Binding()
        binding.CopyFrom(request.binding)
        binding.id = binding.id or f"bind_{secrets.token_hex(6)}"
        if not binding.scopes:
            binding.scopes.extend(DEFAULT_SCOPES)
        check_binding(binding)
        async with self._changes.begin(by) as change:
            await PROJECTS.require(change.connection, binding.project_id, "binding.project_id")
            before = await BINDINGS.find(change.connection, binding.id)
            if before != binding:
                await BINDINGS.put(change.connection, binding)
                await change.record("set", "binding", binding.id, before, binding)
        return binding

    async def list(self, request: ListBindingsRequest) -> ListBindingsResponse:
        async with self._changes.database.read() as connection:
            page = await BINDINGS.page(connection, request, {"project_id": request.project_id})
        return ListBindingsResponse(bindings=page.entries, next_page_token=page.next_page_token)

    async def delete(self, request: DeleteBindingRequest, by: Actor) -> DeleteBindingResponse:
        async with self._changes.begin(by) as change:
            before = await BINDINGS.get(change.connection, request.binding_id)
            await BINDINGS.delete(change.connection, before.id)
            await change.record("delete", "binding", before.id, before, None)
        return DeleteBindingResponse()
