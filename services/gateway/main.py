"""The Gateway: the one port for applications, in front of the Model Service and the Session Service."""

from __future__ import annotations

import argparse
import contextlib
import functools
from typing import TYPE_CHECKING

from pydantic import Field

from services.access.settings import AccessSettings
from services.gateway.health import GatewayServer
from services.gateway.http_relay import HttpRelay
from services.gateway.proxy import Proxy
from services.gateway.routes import close_backends, open_backends
from services.shared.admin_port import open_admin_port
from services.shared.channels import Addresses, any_in_tls, host_and_port, split_addresses
from services.shared.descriptors import connection_limit, raise_descriptor_limit
from services.shared.errors import StartupError
from services.shared.identity import IdentitySigner
from services.shared.internal_keys import open_signer
from services.shared.logs import Log, open_log
from services.shared.misspelt import tell_misspelt
from services.shared.server import Server, announce, run, serve
from services.shared.settings import load_settings
from services.shared.settings_help import describe_environment
from services.shared.tls import ServerTls, TlsFiles, client_context, open_client_tls, open_server_tls
from services.shared.tracing import open_tracing

if TYPE_CHECKING:
    from services.access.access import Access

NOTES = """\
The gateway starts without its backends and finds them when they come. Its health is theirs.
"""


class GatewaySettings(AccessSettings):
    """The settings of the gateway, in addition to those of every process."""

    port: int = Field(
        50051, ge=0, le=65535, validation_alias="GATEWAY_PORT", description="port to listen on, 0 for any free one"
    )
    admin_port: int | None = Field(
        None,
        ge=0,
        le=65535,
        validation_alias="GATEWAY_ADMIN_PORT",
        description="port of `/metrics`, `/livez` and `/readyz` over HTTP, 0 for any free one; none is open without it",
        json_schema_extra={"example": "50061"},
    )
    http_port: int = Field(
        0,
        ge=0,
        le=65535,
        validation_alias="GATEWAY_HTTP_PORT",
        description="port that is relayed to the HTTP port of the Model Service, for clients of OpenAI's and"
        " Anthropic's APIs; none is open with 0",
    )
    models_http_address: Addresses = Field(
        "127.0.0.1:50080",
        validation_alias="MODELS_HTTP_ADDRESS",
        description="`host:port` of the Model Service's port for HTTP, or of several replicas, as `MODELS_ADDRESS`; the"
        " replicas must name this gateway in `MODELS_HTTP_RELAYS`",
    )
    models_address: Addresses = Field(
        "127.0.0.1:50053",
        validation_alias="MODELS_ADDRESS",
        description="`host:port` of the Model Service, or of several replicas of it, with commas between them; a name"
        " stands for all its IP addresses. `https://host:port` is spoken to in TLS",
        json_schema_extra={"example": "10.0.0.1:50053,10.0.0.2:50053"},
    )
    sessions_address: Addresses = Field(
        "127.0.0.1:50052",
        validation_alias="SESSIONS_ADDRESS",
        description="`host:port` of the Session Service, or of several, as `MODELS_ADDRESS`",
    )


async def start() -> None:
    """Runs the gateway until a signal stops it. Raises StartupError."""
    settings = load_settings(GatewaySettings)
    log = open_log("gateway", settings.log_level, form=settings.log_format)
    tell_misspelt(GatewaySettings, log)
    raise_descriptor_limit(log)
    tls = open_server_tls(settings, log)
    served = (settings.models_address, settings.sessions_address, settings.models_http_address)
    client_tls = open_client_tls(settings, log) if any(map(any_in_tls, served)) else None
    addresses = {"MODELS_ADDRESS": settings.models_address, "SESSIONS_ADDRESS": settings.sessions_address}
    signer = open_signer(settings, addresses=addresses, is_called_by_services=False)
    async with contextlib.AsyncExitStack() as stack:
        admin = await stack.enter_async_context(
            open_admin_port("gateway", settings.admin_host, settings.admin_port, log)
        )
        await stack.enter_async_context(open_tracing("gateway", settings.otlp_endpoint, log))
        access = await _open_access(settings, signer, log, stack) if signer else None
        backends = open_backends(settings.models_address, settings.sessions_address, log, client_tls)
        stack.push_async_callback(close_backends, backends)
        proxy = Proxy(
            backends,
            log,
            exposed=settings.is_exposed(),
            authenticator=access.authenticator if access else None,
            audit=access.audit if access else None,
        )
        server = GatewayServer([proxy], backends, log, access)
        port = server.bind(settings.host, settings.port, tls=tls)
        _refuse_self_forwarding(settings, port)
        http = await _bind_relay(settings, server, tls, client_tls, log)
        await server.start()
        forwarded = {backend.name: backend.replicas.addresses for backend in backends}
        routes = " and ".join(f"{name} to {served}" for name, served in forwarded.items())
        host = f"[{settings.host}]" if ":" in settings.host else settings.host
        await serve(server, settings, log, f"gateway: listening on {host}:{port}{http}, forwarding {routes}", admin)


async def _bind_relay(
    settings: GatewaySettings, server: Server, tls: ServerTls | None, client_tls: TlsFiles | None, log: Log
) -> str:
    """Binds the port that is relayed, if there is to be one, and returns how it is announced. Raises StartupError."""
    if not settings.http_port:
        return ""
    relay = HttpRelay(
        split_addresses(settings.models_http_address),
        log,
        connection_limit() // 4,
        functools.partial(client_context, client_tls) if client_tls else None,
        exposed=settings.is_exposed(),
    )
    bound = await relay.bind(settings.host, settings.http_port, tls.http_context() if tls else None)
    server.attach(relay)
    host = f"[{settings.host}]" if ":" in settings.host else settings.host
    return f", {'https' if tls else 'http'}://{host}:{bound} for HTTP"


async def _open_access(
    settings: GatewaySettings, signer: IdentitySigner, log: Log, stack: contextlib.AsyncExitStack
) -> Access:
    # Here, because a gateway without keys does not need the storage, whose import takes a good part of a start.
    from services.access.access import open_access

    return await stack.enter_async_context(open_access(settings, signer, log))


async def migrate() -> None:
    """Brings the access database to this program's schema. Raises StartupError."""
    settings = load_settings(GatewaySettings)
    if settings.auth_mode == "off":
        announce("gateway: has no database without AUTH_MODE=required")
        return
    # Here, for the same reason as in `_open_access`.
    from services.access.access import MIGRATIONS
    from services.shared.database import Database

    log = open_log("gateway", settings.log_level, form=settings.log_format)
    location = await Database.migrate(settings.choose_access_database_url(), MIGRATIONS, log)
    announce(f"gateway: schema is up to date in {location}")


def _refuse_self_forwarding(settings: GatewaySettings, port: int) -> None:
    """Raises StartupError for a gateway that would forward to itself: the first call would multiply without end."""
    own = {f"{host}:{port}" for host in (settings.host, "localhost", "127.0.0.1", "[::1]")}
    for variable, addresses in (
        ("MODELS_ADDRESS", settings.models_address),
        ("SESSIONS_ADDRESS", settings.sessions_address),
    ):
        for address in own.intersection(map(host_and_port, split_addresses(addresses))):
            raise StartupError(f"{variable}: {address} is the gateway itself")


def main() -> None:
    """Runs the gateway from the command line."""
    parser = argparse.ArgumentParser(
        prog="gateway",
        description=__doc__,
        epilog=f"{describe_environment(GatewaySettings)}\n\n{NOTES}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--migrate", action="store_true", help="bring the database to this program's schema, and end")
    run("gateway", migrate if parser.parse_args().migrate else start)


if __name__ == "__main__":
    main()
