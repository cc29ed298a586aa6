"""`genai me`: who calls."""

from __future__ import annotations

import click

from genai_platform.cli.access import call
from genai_platform.cli.output import Columns, moment, output_option, words, write_record
from genai_platform.v1.access_pb2 import WhoAmIRequest, WhoAmIResponse

COLUMNS: Columns = {
    "KEY": lambda me: me.identity.key_id,
    "TEAM": lambda me: me.identity.team_id,
    "PROJECT": lambda me: me.identity.project_id,
    "USER": lambda me: me.identity.user_id,
    "SCOPES": lambda me: words(me.identity.scopes),
    "MODELS": lambda me: words(me.identity.model_globs),
    "LIMITS": lambda me: str(len(me.identity.limits)),
    "EXPIRES": lambda me: moment(me.expires_at),
}


@click.command()
@output_option
def me(output: str | None) -> None:
    """Show who calls, with the key that is set."""
    write_record(call(WhoAmIRequest(), WhoAmIResponse), COLUMNS, output)
