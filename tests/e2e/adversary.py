"""The set of an adversary's walk: three processes that ask who calls, two projects, and credentials of every kind."""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import grpc
import pytest
from click.testing import CliRunner
from google.protobuf import message_factory
from google.protobuf.descriptor import MethodDescriptor, ServiceDescriptor
from google.protobuf.duration_pb2 import Duration
from google.protobuf.field_mask_pb2 import FieldMask
from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp

from genai_platform.cli import commands
from proto import access_pb2 as ap
from proto import content_pb2, models_pb2, sessions_pb2, turns_pb2, usage_pb2
from proto.identity_pb2 import CallerIdentity
from services.access.key_text import make_id, make_key
from services.access.validation import SCOPES
from services.shared.identity import IdentitySigner, scope_of
from services.shared.internal_keys import FILE
from services.shared.metadata import IDENTITY_KEY, Metadata
from tests.e2e.test_platform import Upstream, wait_for_health
from tests.services.access.oidc import OidcIssuer, oidc_issuer
from tests.services.test_foreign_projects import echo
from tests.support.processes import Platform, running_platform

SERVICES: dict[str, Sequence[ServiceDescriptor]] = {
    "gateway": [ap.DESCRIPTOR.services_by_name["AccessService"]],
    "models": [
        models_pb2.DESCRIPTOR.services_by_name["ModelService"],
        usage_pb2.DESCRIPTOR.services_by_name["UsageService"],
        content_pb2.DESCRIPTOR.services_by_name["ContentService"],
    ],
    "sessions": [
        sessions_pb2.DESCRIPTOR.services_by_name["SessionService"],
        turns_pb2.DESCRIPTOR.services_by_name["TurnService"],
    ],
}
"""The services of each process."""
TURNS = "TurnService"
"""The service that is for the other services alone."""

FORWARDED = [service for name in SERVICES for service in SERVICES[name] if service.name != TURNS]
"""The services that the gateway serves or forwards."""

METHODS = {
    method.input_type.full_name: method for name in SERVICES for each in SERVICES[name] for method in each.methods
}
"""The methods by the full names of their requests; of Chat and ChatStream one."""

NOT_ADMIN = [scope for scope in SCOPES if scope != "admin"]
CALL_SECONDS = 30


def methods_of(services: Iterable[ServiceDescriptor]) -> Iterator[MethodDescriptor]:
    for service in services:
        yield from service.methods


def path_of(method: MethodDescriptor) -> str:
    return f"/{method.containing_service.full_name}/{method.name}"


def bearer(text: str) -> Metadata:
    return (("authorization", f"Bearer {text}"),)


class Refusal(NamedTuple):
    """A credential, and the status and the reason that every call with it ends in."""

    name: str
    metadata: Metadata
    code: str
    reason: str


class World:
    """The processes, with the projects `theirs` and `ours`."""

    def __init__(self, platform: Platform, upstream: Upstream, issuer: OidcIssuer, admin: str) -> None:
        self.upstream = upstream
        self.addresses = {name: service.address for name, service in platform.services.items()}
        self.settings = {
            "AUTH_MODE": "required",
            "GENAI_DATA_DIR": str(platform._directory / "data"),
            **{f"{name.upper()}_ADDRESS": self.addresses[name] for name in ("models", "sessions")},
        }
        """The settings of another gateway in front of the same services."""
        self.signer = IdentitySigner([(platform._directory / "data" / FILE).read_bytes().strip()])
        self.admin = admin
        self._issuer = issuer
        self._channel = grpc.insecure_channel(self.addresses["gateway"])
        self._expires = 0.0
        self._expired = self._expiring_key()
        self._make_projects()
        self.theirs = self.new_key("theirs", user_id="ann", scopes=NOT_ADMIN)
        self.neighbour = self.new_key("theirs", user_id="bob", scopes=["sessions", "models.read"])
        self.ours = self.new_key("ours", scopes=NOT_ADMIN)
        self.without = {scope: self.new_key("ours", scopes=_others(scope)) for scope in NOT_ADMIN}
        """Keys of `ours` with all scopes but one, by this one; that without `admin` is `ours` itself."""
        self.without["admin"] = self.ours

    def close(self) -> None:
        self._channel.close()

    def call(self, request: Message, key: str = "", method: str = "") -> Any:
        """The response to a request through the gateway, of the admin unless another key is given."""
        descriptor = METHODS[request.DESCRIPTOR.full_name]
        path = f"/{descriptor.containing_service.full_name}/{method or descriptor.name}"
        output = message_factory.GetMessageClass(
            descriptor.containing_service.methods_by_name[method or descriptor.name].output_type
        )
        invoke = self._channel.unary_unary(path, lambda message: message.SerializeToString(), output.FromString)
        return invoke(request, metadata=bearer(key or self.admin), timeout=CALL_SECONDS)

    def new_key(self, project: str = "default", **fields: Any) -> str:
        key = ap.ApiKey(**({"name": "walk", "project_id": project} | fields))
        secret: str = self.call(ap.CreateKeyRequest(key=key)).secret
        return secret

    def _expiring_key(self, seconds: float = 1.0) -> str:
        """A key that expires as soon as a busy machine can make one."""
        self._expires = time.time() + seconds
        try:
            return self.new_key(expires_at=_at(self._expires))
        except grpc.RpcError as error:
            if error.code() is not grpc.StatusCode.INVALID_ARGUMENT:
                raise
            return self._expiring_key(2 * seconds)

    def _make_projects(self) -> None:
        self.call(ap.CreateTeamRequest(team=ap.Team(id="team")))
        for project in ("theirs", "ours", "closed"):
            self.call(ap.CreateProjectRequest(project=ap.Project(id=project, team_id="team", capture="all")))
        for user in ("ann", "bob"):
            self.call(ap.CreateUserRequest(user=ap.User(id=user)))
        binding = ap.Binding(
            issuer=self._issuer.url, claim="groups", value="auditors", project_id="ours", scopes=["usage.read"]
        )
        self.call(ap.SetBindingRequest(binding=binding))

    def refused_at_the_gateway(self) -> list[Refusal]:
        """Credentials with which nobody may do anything."""
        revoked, disabled, rotated = self.new_key(), self.new_key(), self.new_key()
        closed = self.new_key("closed", scopes=SCOPES)
        self.call(ap.RevokeKeyRequest(key_id=revoked[3:15]))
        self.call(ap.DisableKeyRequest(key_id=disabled[3:15]))
        self.call(ap.RotateKeyRequest(key_id=rotated[3:15], grace=Duration()))
        shut = ap.UpdateProjectRequest(
            project=ap.Project(id="closed", disabled=True), update_mask=FieldMask(paths=["disabled"])
        )
        self.call(shut)
        elsewhere, token = self.new_key(cidrs=["10.0.0.0/8"], scopes=SCOPES), self._issuer.token
        typo = self.admin[:-1] + ("a" if self.admin[-1] != "a" else "b")
        # The key expires by the clock of the gateway.
        time.sleep(max(0.0, self._expires - time.time()))
        rows: list[tuple[str, Metadata, str]] = [
            ("none", (), "KEY_MISSING"),
            ("empty", bearer(""), "KEY_INVALID"),
            ("of another scheme", (("authorization", "Basic YTpi"),), "KEY_INVALID"),
            ("typo", bearer(typo), "KEY_INVALID"),
            ("shorter", bearer(self.admin[:-6]), "KEY_INVALID"),
            ("wrong secret", bearer(make_key(self.admin[3:15]).text), "KEY_INVALID"),
            ("unknown", bearer(make_key(make_id()).text), "KEY_INVALID"),
            ("two", (*bearer(self.ours), ("x-api-key", self.admin)), "KEY_INVALID"),
            ("expired", bearer(self._expired), "KEY_EXPIRED"),
            ("rotated", bearer(rotated), "KEY_EXPIRED"),
            ("revoked", bearer(revoked), "KEY_REVOKED"),
            ("disabled", bearer(disabled), "KEY_DISABLED"),
            ("of a disabled project", bearer(closed), "KEY_DISABLED"),
            ("expired token", bearer(token(groups=["auditors"], exp=1)), "TOKEN_INVALID"),
            ("token for others", bearer(token(groups=["auditors"], aud="others")), "TOKEN_INVALID"),
            ("token of an unknown issuer", bearer(token(iss="https://evil.example")), "TOKEN_INVALID"),
            ("token that is not signed", bearer(_unsigned(token(groups=["auditors"]))), "TOKEN_INVALID"),
        ]
        return [
            *(Refusal(name, metadata, "UNAUTHENTICATED", reason) for name, metadata, reason in rows),
            Refusal("from elsewhere", bearer(elsewhere), "PERMISSION_DENIED", "NETWORK_NOT_ALLOWED"),
            Refusal("token without a project", bearer(token()), "PERMISSION_DENIED", "TOKEN_NOT_BOUND"),
        ]

    def narrow_token(self) -> str:
        """A valid token with the scope `usage.read` alone."""
        return self._issuer.token(groups=["auditors"])

    def identity(self, *scopes: str, age: float = 0.0, signer: IdentitySigner | None = None) -> bytes:
        """An identity of `theirs`, as the gateway signs it."""
        signer = signer or self.signer
        dated = IdentitySigner(signer._keys, lambda: time.time() - age)
        return dated.sign(CallerIdentity(key_id="forged", project_id="theirs", scopes=scopes or SCOPES))

    def forged(self) -> Metadata:
        """The headers of the platform itself, as a caller would send them who even had the key of the signatures."""
        return (
            (IDENTITY_KEY, self.identity()),
            ("x-genai-caller", "ipv4:10.0.0.1:1"),
            ("x-genai-exposed", ""),
            ("x-genai-project", "theirs"),
        )

    def refused_by_services(self) -> list[Refusal]:
        """Credentials with which nobody gets past the gateway."""
        tampered = bytearray(self.identity())
        tampered[-1] ^= 1
        other = IdentitySigner([b"o" * 32])
        values: Mapping[str, list[bytes]] = {
            "empty": [b""],
            "noise": [b"x" * 64],
            "unsigned": [self.identity()[32:]],
            "signed by another key": [self.identity(signer=other)],
            "tampered": [bytes(tampered)],
            "old": [self.identity(age=62)],
            "of the future": [self.identity(age=-120)],
            "twice": [self.identity(), self.identity()],
        }
        return [
            Refusal("none", (), "UNAUTHENTICATED", "KEY_MISSING"),
            Refusal("key of an admin", bearer(self.admin), "UNAUTHENTICATED", "KEY_MISSING"),
            Refusal("token", bearer(self.narrow_token()), "UNAUTHENTICATED", "KEY_MISSING"),
            *(
                Refusal(name, tuple((IDENTITY_KEY, value) for value in given), "UNAUTHENTICATED", "IDENTITY_INVALID")
                for name, given in values.items()
            ),
        ]

    def all_but(self, method: MethodDescriptor) -> list[str]:
        """All scopes but that of the method."""
        return _others(scope_of(method))


def _others(scope: str) -> list[str]:
    return [each for each in SCOPES if each not in (scope, "admin")] if scope != "admin" else list(NOT_ADMIN)


def _at(seconds: float) -> Timestamp:
    moment = Timestamp()
    moment.FromMicroseconds(int(seconds * 1e6))
    return moment


def _unsigned(token: str) -> str:
    """The token with the algorithm `none`, and without its signature."""
    return ".".join(["eyJhbGciOiJub25lIn0", token.split(".")[1], ""])


@contextlib.contextmanager
def world(directory: Path) -> Iterator[World]:
    upstream = Upstream(echo)
    with oidc_issuer() as issuer, contextlib.closing(upstream):
        issuers = directory / "issuers.json"
        issuers.write_text(json.dumps([{"issuer": issuer.url, "audience": "genai"}]))
        settings = {
            "AUTH_MODE": "required",
            "AUTH_ISSUERS": str(issuers),
            "OPENAI_API_KEY": "sk-e2e",
            "OPENAI_BASE_URL": f"{upstream.url}/v1",
            "MODELS_MAX_ATTEMPTS": "1",
        }
        with running_platform(directory / "platform", **settings) as platform:
            wait_for_health(platform.address, "")
            admin = _make_admin(platform._directory / "data", directory)
            found = World(platform, upstream, issuer, _accepted(platform.address, admin))
            with contextlib.closing(found):
                yield found


def _make_admin(data: Path, directory: Path) -> str:
    (directory / ".env").touch()
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(directory)
        variables = {"GENAI_DATA_DIR": str(data), "AUTH_MODE": "required"}
        made = CliRunner().invoke(commands.genai, ["keys", "create", "--admin", "-q"], env=variables)
    assert made.exit_code == 0, made.stderr
    return made.stdout.strip()


def _accepted(address: str, key: str) -> str:
    """The key, as soon as the gateway knows it."""
    with grpc.insecure_channel(address) as channel:
        ask = channel.unary_unary("/genai_platform.v1.AccessService/WhoAmI")
        deadline = time.monotonic() + 10
        while time.monotonic() < deadline:
            with contextlib.suppress(grpc.RpcError):
                ask(b"", metadata=bearer(key), timeout=CALL_SECONDS)
                return key
    raise AssertionError("the gateway does not know the key")
