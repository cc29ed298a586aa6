"""`genai health`: whether the services serve, as the gateway says and as they say themselves."""

from __future__ import annotations

import sys
from collections.abc import Iterator

import click
import grpc
from google.protobuf.struct_pb2 import Struct

from genai_platform.channel import MODEL_SERVICE, SESSION_SERVICE, open_channel
from genai_platform.cli.ending import EXIT_FAILED, fail
from genai_platform.cli.output import Columns, output_option, write_records
from genai_platform.environment import read_variable
from genai_platform.target import GatewayTarget, find_target, parse_target
from genai_platform.tls import FollowedCredentials, TlsFiles

CHECK = "/grpc.health.v1.Health/Check"
SERVING = b"\x08\x01"
"""A HealthCheckResponse with the status SERVING; its package belongs to the services."""

CHECK_SECONDS = 5.0

BY_GATEWAY = {"gateway": "", "models": MODEL_SERVICE.full_name, "sessions": SESSION_SERVICE.full_name}
DIRECTLY = {"MODELS_ADDRESS": "models, directly", "SESSIONS_ADDRESS": "sessions, directly"}

COLUMNS: Columns = {
    "SERVICE": lambda record: record["service"],
    "ADDRESS": lambda record: record["address"],
    "STATUS": lambda record: record["status"],
    "WHAT TO DO": lambda record: record["advice"],
}


@click.command()
@output_option
def health(output: str | None) -> None:
    """Show whether the services serve: through the gateway, and by their own addresses.

    The addresses are GENAI_GATEWAY_URL, and MODELS_ADDRESS and SESSIONS_ADDRESS where they are set. Each service is
    waited for 5 s at most. The exit code is 1 unless all serve.
    """
    try:
        records = list(_check_all())
    except ValueError as error:
        fail(str(error))
    write_records(records, COLUMNS, output)
    sys.exit(0 if all(record["status"] == "ok" for record in records) else EXIT_FAILED)


def _check_all() -> Iterator[Struct]:
    yield from _check(find_target(None), BY_GATEWAY)
    for variable, shown in DIRECTLY.items():
        for address in filter(None, map(str.strip, read_variable(variable).split(","))):
            yield from _check(parse_target(address, variable), {shown: ""})


def _check(target: GatewayTarget, services: dict[str, str]) -> Iterator[Struct]:
    """Asks a port for the health of services, by the names that they are shown with."""
    credentials = FollowedCredentials(TlsFiles()).refresh() if target.secure else None
    with open_channel(target, credentials) as channel:
        check = channel.unary_unary(CHECK, bytes, bytes)
        for shown, service in services.items():
            encoded = service.encode()
            request = bytes([0x0A, len(encoded)]) + encoded if encoded else b""
            try:
                serves = check(request, timeout=CHECK_SECONDS) == SERVING
                problem = "" if serves else "it is not ready, or what it needs is away: see its log"
            except grpc.RpcError as error:
                problem = f"it does not answer ({error.code().name}): start it, or correct its address"
            record = Struct()
            record.update(
                {
                    "service": shown,
                    "address": target.address,
                    "status": "error" if problem else "ok",
                    "advice": problem,
                }
            )
            yield record
