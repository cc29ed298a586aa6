"""`genai health`: whether the services serve, as the gateway says and as they say themselves."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator, Sequence

import click
import grpc
from google.protobuf.struct_pb2 import Struct

from genai_platform.channel import MODEL_SERVICE, SESSION_SERVICE, open_channel
from genai_platform.cli.ending import EXIT_FAILED, fail
from genai_platform.cli.output import Columns, output_option, write_records
from genai_platform.environment import read_variable
from genai_platform.errors import TLS_FAILURES
from genai_platform.target import GatewayTarget, find_target, parse_target
from genai_platform.tls import FollowedCredentials, TlsFiles

CHECK = "/grpc.health.v1.Health/Check"
SERVING = b"\x08\x01"
"""A HealthCheckResponse with the status SERVING; its package belongs to the services."""

CHECK_SECONDS = 5.0
AGAIN_SECONDS = 0.25
"""Pause before services are asked again that are waited for."""

BY_GATEWAY = {"gateway": "", "models": MODEL_SERVICE.full_name, "sessions": SESSION_SERVICE.full_name}
DIRECTLY = {"MODELS_ADDRESS": "models, directly", "SESSIONS_ADDRESS": "sessions, directly"}

COLUMNS: Columns = {
    "SERVICE": lambda record: record["service"],
    "ADDRESS": lambda record: record["address"],
    "STATUS": lambda record: record["status"],
    "WHAT TO DO": lambda record: record["advice"],
}


@click.command()
@click.option("--wait", type=click.FloatRange(min=0), default=0, help="Seconds to wait until all serve (0).")
@output_option
def health(output: str | None, wait: float) -> None:
    """Show whether the services serve: through the gateway, and by their own addresses.

    The addresses are GENAI_GATEWAY_URL, and MODELS_ADDRESS and SESSIONS_ADDRESS where they are set. Each service has
    5 s at most for its answer. The exit code is 1 unless all serve.
    """
    due = time.monotonic() + wait
    try:
        records = list(_check_all())
        while not _all_serve(records) and time.monotonic() < due:
            time.sleep(AGAIN_SECONDS)
            records = list(_check_all())
    except ValueError as error:
        fail(str(error))
    write_records(records, COLUMNS, output)
    sys.exit(0 if _all_serve(records) else EXIT_FAILED)


def _all_serve(records: Sequence[Struct]) -> bool:
    return all(record["status"] == "ok" for record in records)


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
                problem = _problem(error)
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


def _problem(error: grpc.RpcError) -> str:
    """Why a service does not answer, and what to do."""
    details = error.details() or ""
    refusal = next((told for word, told in TLS_FAILURES if word in details), "")
    if refusal:
        return f"no TLS connection: {refusal}"
    return f"it does not answer ({error.code().name}): start it, or correct its address"
