"""The Access Service as gRPC sees it."""

from __future__ import annotations

from proto import access_pb2 as pb
from proto.identity_pb2 import LimitRule
from services.access.actors import actor_of
from services.access.audit import read_events, verify_events
from services.access.bindings import Bindings
from services.access.changes import Changes
from services.access.directory import Directory
from services.access.keys import Keys
from services.access.limits import Limits
from services.access.snapshot import SnapshotKeeper
from services.shared.call import Call
from services.shared.database import Database

SERVICE = pb.DESCRIPTOR.services_by_name["AccessService"]


class AccessServicer:
    """The methods of the service. Each is one change or one reading of the access database."""

    def __init__(self, database: Database, keeper: SnapshotKeeper, max_key_days: int) -> None:
        changes = Changes(database, keeper.update)
        self._database = database
        self._keeper = keeper
        self._directory = Directory(changes)
        self._keys = Keys(changes, max_key_days)
        self._limits = Limits(changes)
        self._bindings = Bindings(changes)

    async def WhoAmI(self, _: pb.WhoAmIRequest, call: Call) -> pb.WhoAmIResponse:
        answer = pb.WhoAmIResponse(identity=call.identity.message if call.identity else None)
        entry = self._keeper.snapshot.keys.get(answer.identity.key_id)
        if entry:
            answer.expires_at.CopyFrom(entry.key.expires_at)
        return answer

    async def CreateTeam(self, request: pb.CreateTeamRequest, call: Call) -> pb.Team:
        return await self._directory.create_team(request, actor_of(call, request.reason))

    async def UpdateTeam(self, request: pb.UpdateTeamRequest, call: Call) -> pb.Team:
        return await self._directory.update_team(request, actor_of(call, request.reason))

    async def ListTeams(self, request: pb.ListTeamsRequest, call: Call) -> pb.ListTeamsResponse:
        return await self._directory.list_teams(request)

    async def CreateProject(self, request: pb.CreateProjectRequest, call: Call) -> pb.Project:
        return await self._directory.create_project(request, actor_of(call, request.reason))

    async def UpdateProject(self, request: pb.UpdateProjectRequest, call: Call) -> pb.Project:
        return await self._directory.update_project(request, actor_of(call, request.reason))

    async def ListProjects(self, request: pb.ListProjectsRequest, call: Call) -> pb.ListProjectsResponse:
        return await self._directory.list_projects(request)

    async def CreateUser(self, request: pb.CreateUserRequest, call: Call) -> pb.User:
        return await self._directory.create_user(request, actor_of(call, request.reason))

    async def UpdateUser(self, request: pb.UpdateUserRequest, call: Call) -> pb.User:
        return await self._directory.update_user(request, actor_of(call, request.reason))

    async def ListUsers(self, request: pb.ListUsersRequest, call: Call) -> pb.ListUsersResponse:
        return await self._directory.list_users(request)

    async def CreateKey(self, request: pb.CreateKeyRequest, call: Call) -> pb.CreateKeyResponse:
        return await self._keys.create(request, actor_of(call, request.reason))

    async def GetKey(self, request: pb.GetKeyRequest, call: Call) -> pb.ApiKey:
        return await self._keys.get(request)

    async def ListKeys(self, request: pb.ListKeysRequest, call: Call) -> pb.ListKeysResponse:
        return await self._keys.list(request)

    async def UpdateKey(self, request: pb.UpdateKeyRequest, call: Call) -> pb.ApiKey:
        return await self._keys.update(request, actor_of(call, request.reason))

    async def DisableKey(self, request: pb.DisableKeyRequest, call: Call) -> pb.ApiKey:
        return await self._keys.disable(request, actor_of(call, request.reason))

    async def EnableKey(self, request: pb.EnableKeyRequest, call: Call) -> pb.ApiKey:
        return await self._keys.enable(request, actor_of(call, request.reason))

    async def RevokeKey(self, request: pb.RevokeKeyRequest, call: Call) -> pb.ApiKey:
        return await self._keys.revoke(request, actor_of(call, request.reason))

    async def RotateKey(self, request: pb.RotateKeyRequest, call: Call) -> pb.RotateKeyResponse:
        return await self._keys.rotate(request, actor_of(call, request.reason))

    async def SetLimit(self, request: pb.SetLimitRequest, call: Call) -> LimitRule:
        return await self._limits.set(request, actor_of(call, request.reason))

    async def ListLimits(self, request: pb.ListLimitsRequest, call: Call) -> pb.ListLimitsResponse:
        return await self._limits.list(request)

    async def DeleteLimit(self, request: pb.DeleteLimitRequest, call: Call) -> pb.DeleteLimitResponse:
        return await self._limits.delete(request, actor_of(call, request.reason))

    async def SetBinding(self, request: pb.SetBindingRequest, call: Call) -> pb.Binding:
        return await self._bindings.set(request, actor_of(call, request.reason))

    async def ListBindings(self, request: pb.ListBindingsRequest, call: Call) -> pb.ListBindingsResponse:
        return await self._bindings.list(request)

    async def DeleteBinding(self, request: pb.DeleteBindingRequest, call: Call) -> pb.DeleteBindingResponse:
        return await self._bindings.delete(request, actor_of(call, request.reason))

    async def ListAuditEvents(self, request: pb.ListAuditEventsRequest, call: Call) -> pb.ListAuditEventsResponse:
        async with self._database.read() as connection:
            return await read_events(connection, request)

    async def VerifyAuditEvents(self, request: pb.VerifyAuditEventsRequest, call: Call) -> pb.VerifyAuditEventsResponse:
        async with self._database.read() as connection:
            return await verify_events(connection)
