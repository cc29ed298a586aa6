"""`genai doctor`: what is wrong with a set-up, and what to do about it."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import socket
import ssl
import sys
import warnings
from collections.abc import Iterator

import click
import grpc

from genai_platform.api_key import FILE_VARIABLE, INSECURE_VARIABLE
from genai_platform.api_key import VARIABLE as KEY_VARIABLE
from genai_platform.channel import MODEL_SERVICE, SESSION_SERVICE, open_channel
from genai_platform.cli.ending import EXIT_FAILED
from genai_platform.cli.findings import Finding, shown
from genai_platform.cli.output import Columns, output_option, write_records
from genai_platform.environment import read_variable, stands_in_file
from genai_platform.target import DEFAULT_TARGET, TARGET_VARIABLE, GatewayTarget, find_target
from genai_platform.tls import CA_VARIABLE, CERT_VARIABLE, FollowedCredentials, TlsFiles
from genai_platform.tls import KEY_VARIABLE as TLS_KEY_VARIABLE

PORTS = {"GATEWAY_PORT": "50051", "SESSIONS_PORT": "50052", "MODELS_PORT": "50053"}
SERVED = {
    "GATEWAY_PORT": (MODEL_SERVICE.full_name, SESSION_SERVICE.full_name),
    "SESSIONS_PORT": (SESSION_SERVICE.full_name,),
    "MODELS_PORT": (MODEL_SERVICE.full_name,),
}
"""The services whose health the port of each process tells."""

SDK_VARIABLES = (
    *(TARGET_VARIABLE, "GENAI_MODEL", KEY_VARIABLE, FILE_VARIABLE, CA_VARIABLE, CERT_VARIABLE, TLS_KEY_VARIABLE),
    INSECURE_VARIABLE,
)
SECRETS = {KEY_VARIABLE}

HEALTH_CHECK = "/grpc.health.v1.Health/Check"
PORT_SECONDS = 2.0
"""Time limit of each question to a port."""

ANY_HOST = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 read, not bound

COLUMNS: Columns = {
    "CHECK": lambda record: record["check"],
    "STATUS": lambda record: record["status"],
    "FOUND": lambda record: record["found"],
    "WHAT TO DO": lambda record: record["advice"],
}


@click.command()
@output_option
def doctor(output: str | None) -> None:
    """Check the set-up: versions, ports, settings, databases, providers, clock, models and what is insecure.

    Nothing is changed, no secret is shown, and providers are asked only for their lists of models, which is free. Each
    check takes 5 s at most. The exit code is 1 if there is an error.
    """
    findings = [*_check_versions(), *_check_sdk_settings(), *_check_gateway()]
    # Before the ports, whose settings it reads from the `.env` of the services.
    findings += _check_services()
    findings += _check_ports()
    write_records([finding.record() for finding in findings], COLUMNS, output)
    sys.exit(EXIT_FAILED if any(finding.status == "error" for finding in findings) else 0)


def _check_versions() -> Iterator[Finding]:
    sdk, services = _version("genai-platform"), _version("genai-platform-services")
    found = f"SDK {sdk}, services {services}, Python {platform.python_version()}, grpcio {grpc.__version__}"
    if "not installed" in (sdk, services) or sdk == services:
        yield Finding("versions", "ok", found)
    else:
        yield Finding("versions", "error", found, f"run: pip install genai-platform-services=={sdk}")


def _version(distribution: str) -> str:
    try:
        return importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return "not installed"


def _check_sdk_settings() -> Iterator[Finding]:
    with warnings.catch_warnings(record=True) as caught:
        values = {name: read_variable(name) for name in SDK_VARIABLES}
    for warning in caught:
        yield Finding("setting of the SDK", "error", str(warning.message), "correct the file")
    for name, value in values.items():
        if value:
            place = ".env" if stands_in_file(name) else "environment"
            yield Finding("setting of the SDK", "ok", f"{name}={'set' if name in SECRETS else shown(value)} ({place})")


def _check_gateway() -> Iterator[Finding]:
    try:
        target = find_target(None)
        healthy = _answers(target, SERVED["GATEWAY_PORT"])
    except ValueError as error:
        yield Finding("gateway", "error", str(error), f"correct {TARGET_VARIABLE} or the files of TLS")
        return
    if healthy:
        yield Finding("gateway", "ok", f"{target.address} answers")
    elif target.address == DEFAULT_TARGET:
        yield Finding("gateway", "warning", f"no gateway at {target.address}", "run: genai serve")
    else:
        advice = f"start the gateway, or correct {TARGET_VARIABLE}"
        yield Finding("gateway", "error", f"no gateway at {target.address}", advice)


def _check_ports() -> Iterator[Finding]:
    host = read_variable("GENAI_HOST") or "127.0.0.1"
    host = ANY_HOST.get(host, host)
    for variable, default in PORTS.items():
        text = read_variable(variable) or default
        if not text.isdecimal() or not 0 < int(text) < 65536:
            if text != "0":
                yield Finding("port", "error", f"{variable} is no port", f"set {variable} to a number up to 65535")
            continue
        yield _check_port(host, int(text), variable)


def _check_port(host: str, port: int, variable: str) -> Finding:
    address = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    try:
        with socket.create_connection((host, port), PORT_SECONDS):
            pass
    except ConnectionRefusedError:
        return Finding("port", "ok", f"{address} ({variable}) is free")
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        advice = "set GENAI_HOST to an address of this machine"
        return Finding("port", "error", f"{address} ({variable}): {reason}", advice)
    if _speaks_tls(host, port):
        return Finding("port", "ok", f"{address} ({variable}) is in use; by whom, TLS does not tell")
    if _answers(GatewayTarget(address, secure=False), SERVED[variable]):
        return Finding("port", "ok", f"{address} ({variable}) is in use by this platform")
    advice = f"end what uses it, or set {variable}"
    return Finding("port", "error", f"{address} ({variable}) is in use by another program", advice)


def _answers(target: GatewayTarget, services: tuple[str, ...]) -> bool:
    """Whether a process of the platform answers for all these services, in good health or not."""
    credentials = FollowedCredentials(TlsFiles()).refresh() if target.secure else None
    with open_channel(target, credentials) as channel:
        check = channel.unary_unary(HEALTH_CHECK, bytes, bytes)
        for service in services:
            encoded = service.encode()
            try:
                check(bytes([0x0A, len(encoded)]) + encoded, timeout=PORT_SECONDS)
            except grpc.RpcError:
                return False
    return True


def _check_services() -> list[Finding]:
    exported = set(os.environ)
    try:
        from genai_platform.cli.doctor_services import check_services
    except ModuleNotFoundError:
        left_out = "settings, databases, providers, clock, models and security are left out: the services are not here"
        return [Finding("services", "ok", left_out, "to check them: pip install genai-platform-services")]
    return check_services(exported, SDK_VARIABLES)


def _speaks_tls(host: str, port: int) -> bool:
    context = ssl.create_default_context()
    # Nothing is sent: it is only asked whether anybody answers in TLS.
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.set_alpn_protocols(["h2"])
    try:
        with socket.create_connection((host, port), PORT_SECONDS) as connection:
            connection.settimeout(PORT_SECONDS)
            context.wrap_socket(connection).close()
    except ssl.SSLCertVerificationError:
        return True
    except OSError:
        return False
    return True
