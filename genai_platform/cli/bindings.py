"""`genai bindings`: the projects of callers that come with a token or a certificate."""

from __future__ import annotations

import click

from genai_platform.cli.access import call, read_all
from genai_platform.cli.output import Columns, output_option, quiet_option, say, words, write_records
from genai_platform.cli.parameters import reason_option
from genai_platform.v1.access_pb2 import (
    Binding,
    DeleteBindingRequest,
    DeleteBindingResponse,
    ListBindingsRequest,
    ListBindingsResponse,
    SetBindingRequest,
)

COLUMNS: Columns = {
    "ID": lambda binding: binding.id,
    "ISSUER": lambda binding: binding.issuer,
    "CLAIM": lambda binding: binding.claim,
    "VALUE": lambda binding: binding.value,
    "PROJECT": lambda binding: binding.project_id,
    "SCOPES": lambda binding: words(binding.scopes),
}


@click.group(no_args_is_help=True)
def bindings() -> None:
    """Bindings: callers whose token or client certificate has a claim act for a project."""


@bindings.command("set")
@click.argument("issuer")
@click.argument("claim")
@click.argument("value")
@click.option("--project", required=True, help="Project that such callers act for.")
@click.option("--scope", "scopes", multiple=True, help="Scope of such callers; may be repeated.")
@click.option("--id", "binding_id", default="", help="Id: a binding with it is replaced.")
@reason_option
@quiet_option
@output_option
def set_binding(
    issuer: str,
    claim: str,
    value: str,
    project: str,
    scopes: tuple[str, ...],
    binding_id: str,
    reason: str,
    quiet: bool,
    output: str | None,
) -> None:
    """Set a binding.

    \b
    Of a token:        genai bindings set https://login.example groups search --project search
    Of a certificate:  genai bindings set mtls uri spiffe://example.org/search --project search
                       (uri, dns: its subjectAltName; cn: its common name)
    """
    binding = Binding(id=binding_id, issuer=issuer, claim=claim, value=value, project_id=project, scopes=scopes)
    made = call(SetBindingRequest(binding=binding, reason=reason), Binding)
    write_records([made], {"ID": COLUMNS["ID"]} if quiet else COLUMNS, "tsv" if quiet else output)


@bindings.command("list")
@click.option("--project", default="", help="Only those of this project.")
@output_option
def list_bindings(project: str, output: str | None) -> None:
    """List bindings."""
    found = read_all(ListBindingsRequest(project_id=project), ListBindingsResponse, "bindings")
    write_records(found, COLUMNS, output)


@bindings.command()
@click.argument("binding_id", metavar="ID")
@reason_option
def delete(binding_id: str, reason: str) -> None:
    """Delete a binding."""
    call(DeleteBindingRequest(binding_id=binding_id, reason=reason), DeleteBindingResponse)
    say(f"the binding {binding_id} is deleted")
