"""`genai keys`: API keys."""

from __future__ import annotations

import asyncio

import click

from genai_platform.cli.access import call, read_all
from genai_platform.cli.ending import fail
from genai_platform.cli.output import (
    Columns,
    moment,
    output_option,
    quiet_option,
    say,
    words,
    write_record,
    write_records,
)
from genai_platform.cli.parameters import Expiry, Pair, Span, reason_option
from genai_platform.v1.access_pb2 import (
    ApiKey,
    CreateKeyRequest,
    CreateKeyResponse,
    DisableKeyRequest,
    EnableKeyRequest,
    GetKeyRequest,
    ListKeysRequest,
    ListKeysResponse,
    RevokeKeyRequest,
    RotateKeyRequest,
    RotateKeyResponse,
)

ADMIN_NAME = "admin"


def _state(key: ApiKey) -> str:
    name = ApiKey.State.Name(key.state).removeprefix("STATE_").lower()
    is_over = key.expires_at.ToMicroseconds() <= _now()
    return "expired" if is_over and key.state == ApiKey.STATE_ACTIVE else name


def _now() -> int:
    now = ApiKey().expires_at
    now.GetCurrentTime()
    return now.ToMicroseconds()


COLUMNS: Columns = {
    "ID": lambda key: key.id,
    "NAME": lambda key: key.name,
    "PROJECT": lambda key: key.project_id,
    "USER": lambda key: key.user_id,
    "STATE": _state,
    "EXPIRES": lambda key: moment(key.expires_at),
    "LAST USED": lambda key: moment(key.last_used_at),
}

DETAILS: Columns = {
    **COLUMNS,
    "SCOPES": lambda key: words(key.scopes),
    "MODELS": lambda key: words(key.model_globs),
    "NETWORKS": lambda key: words(key.cidrs),
    "TAGS": lambda key: ",".join(f"{name}={value}" for name, value in sorted(key.fixed_tags.items())),
    "REQUIRED TAGS": lambda key: words(key.required_tags),
    "CAPTURE": lambda key: key.capture,
    "ISSUED": lambda key: moment(key.issued_at),
    "OLD SECRET UNTIL": lambda key: moment(key.previous_until),
    "CREATED": lambda key: moment(key.created_at),
    "CREATED BY": lambda key: key.created_by,
}

NEW: Columns = {
    "KEY": lambda made: made.secret,
    "ID": lambda made: made.key.id,
    "PROJECT": lambda made: made.key.project_id,
    "SCOPES": lambda made: words(made.key.scopes),
    "EXPIRES": lambda made: moment(made.key.expires_at),
}


@click.group(no_args_is_help=True)
def keys() -> None:
    """API keys: what callers show the gateway."""


@keys.command()
@click.argument("name", default="")
@click.option(
    "--admin",
    is_flag=True,
    help="Make a key with all scopes in the database of this machine, without asking a gateway: the first key.",
)
@click.option("--project", default="", help="Project of the key.")
@click.option("--user", default="", help="User that the key belongs to.")
@click.option("--scope", "scopes", multiple=True, help="Scope, such as generate or admin; may be repeated.")
@click.option("--model", "models", multiple=True, help="Models that it may ask: a name with *; may be repeated.")
@click.option("--tag", "tags", type=Pair(), multiple=True, help="Tag of all its calls; may be repeated.")
@click.option("--require-tag", "required", multiple=True, help="Tag that each of its chats must have; may be repeated.")
@click.option("--cidr", "cidrs", multiple=True, help="Network that it is accepted from; may be repeated.")
@click.option("--capture", default="", help="Whether its content is captured: off, errors, all or sample:SHARE.")
@click.option("--expires", type=Expiry(), help="Time until it expires, such as 30d, or a date; by default 90d.")
@reason_option
@click.option("-q", "--quiet", is_flag=True, help="Print the key alone.")
@output_option
def create(
    name: str,
    admin: bool,
    project: str,
    user: str,
    scopes: tuple[str, ...],
    models: tuple[str, ...],
    tags: tuple[tuple[str, str], ...],
    required: tuple[str, ...],
    cidrs: tuple[str, ...],
    capture: str,
    expires: float | None,
    reason: str,
    quiet: bool,
    output: str | None,
) -> None:
    """Create a key. It is printed once, and stored nowhere."""
    if admin:
        _refuse_beside_admin(user or scopes or models or tags or required or cidrs or capture or expires or reason)
        made = _create_admin(name or ADMIN_NAME, project)
    else:
        if not name or not project:
            raise click.UsageError("a key needs a NAME and a --project; the first one is made with --admin")
        key = ApiKey(name=name, project_id=project, user_id=user, scopes=scopes, model_globs=models)
        key.fixed_tags.update(tags)
        key.required_tags.extend(required)
        key.cidrs.extend(cidrs)
        key.capture = capture
        if expires:
            key.expires_at.FromMicroseconds(int(expires * 1e6))
        made = call(CreateKeyRequest(key=key, reason=reason), CreateKeyResponse)
    _write_secret(made, quiet, output)


@keys.command("list")
@click.option("--project", default="", help="Only those of this project.")
@click.option("--user", default="", help="Only those of this user.")
@click.option("--all", "everything", is_flag=True, help="Revoked ones too.")
@quiet_option
@output_option
def list_keys(project: str, user: str, everything: bool, quiet: bool, output: str | None) -> None:
    """List keys."""
    request = ListKeysRequest(project_id=project, user_id=user)
    found = (
        key for key in read_all(request, ListKeysResponse, "keys") if everything or key.state != ApiKey.STATE_REVOKED
    )
    write_records(found, {"ID": COLUMNS["ID"]} if quiet else COLUMNS, "tsv" if quiet else output)


@keys.command()
@click.argument("key_id", metavar="ID")
@output_option
def show(key_id: str, output: str | None) -> None:
    """Show a key."""
    write_record(call(GetKeyRequest(key_id=key_id), ApiKey), DETAILS, output)


@keys.command()
@click.argument("key_id", metavar="ID")
@reason_option
def disable(key_id: str, reason: str) -> None:
    """Refuse a key until it is enabled again."""
    call(DisableKeyRequest(key_id=key_id, reason=reason), ApiKey)
    say(f"the key {key_id} is disabled")


@keys.command()
@click.argument("key_id", metavar="ID")
@reason_option
def enable(key_id: str, reason: str) -> None:
    """Accept a disabled key again."""
    call(EnableKeyRequest(key_id=key_id, reason=reason), ApiKey)
    say(f"the key {key_id} is enabled")


@keys.command()
@click.argument("key_id", metavar="ID")
@reason_option
def revoke(key_id: str, reason: str) -> None:
    """Refuse a key for good."""
    call(RevokeKeyRequest(key_id=key_id, reason=reason), ApiKey)
    say(f"the key {key_id} is revoked")


@keys.command()
@click.argument("key_id", metavar="ID")
@click.option("--grace", type=Span(), default="24h", show_default=True, help="Time for which the old secret is valid.")
@reason_option
@click.option("-q", "--quiet", is_flag=True, help="Print the key alone.")
@output_option
def rotate(key_id: str, grace: int, reason: str, quiet: bool, output: str | None) -> None:
    """Give a key a new secret. It is printed once, and stored nowhere."""
    request = RotateKeyRequest(key_id=key_id, reason=reason)
    request.grace.FromSeconds(grace)
    _write_secret(call(request, RotateKeyResponse), quiet, output)


def _refuse_beside_admin(given: object) -> None:
    if given:
        raise click.UsageError("--admin takes only a NAME and a --project")


def _create_admin(name: str, project: str) -> CreateKeyResponse:
    try:
        from genai_platform.cli.local import create_admin_key
    except ImportError:
        fail("--admin works on the database, for which the services are needed: pip install genai-platform-services")
    try:
        return asyncio.run(create_admin_key(name, project))
    except ValueError as error:
        fail(str(error))


def _write_secret(made: CreateKeyResponse | RotateKeyResponse, quiet: bool, output: str | None) -> None:
    if quiet:
        click.echo(made.secret)
        return
    say("this is the key; it cannot be shown again:")
    write_record(made, NEW, output)
