"""`genai models`: the models that a chat can name, and the registered ones."""

from __future__ import annotations

import click

from genai_platform import LifecycleState, ModelInfo, ModelSource
from genai_platform.cli.output import Columns, moment, output_option, say, write_record, write_records
from genai_platform.cli.parameters import NANO
from genai_platform.cli.platforms import opened
from genai_platform.dicts import to_dict


def _price(nano_usd: int) -> str:
    return f"{nano_usd / NANO:.12g}"


def _prices(info: ModelInfo) -> str:
    prices = info.capabilities.prices
    known = prices.HasField("prompt_nano_usd") and prices.HasField("completion_nano_usd")
    return f"{_price(prices.prompt_nano_usd)}/{_price(prices.completion_nano_usd)}" if known else "-"


def _features(info: ModelInfo) -> str:
    supported = (name for name, value in to_dict(info.capabilities).items() if value is True)
    return ",".join(name.removeprefix("supports_") for name in supported)


def _state(info: ModelInfo) -> str:
    return LifecycleState.Name(info.capabilities.lifecycle.state).removeprefix("LIFECYCLE_STATE_").lower()


LISTED: Columns = {
    "NAME": lambda info: info.name,
    "PROVIDER": lambda info: info.provider,
    "SOURCE": lambda info: ModelSource.Name(info.source).removeprefix("MODEL_SOURCE_").lower(),
    "USABLE": lambda info: "yes" if info.configured else "no",
    "CONTEXT": lambda info: str(info.capabilities.context_window or "-"),
    "USD/M": _prices,
    "SHUTDOWN": lambda info: info.capabilities.lifecycle.shutdown_date,
}

SHOWN: Columns = {
    **LISTED,
    "ALIASES": lambda info: ",".join(info.aliases),
    "FEATURES": _features,
    "LONGEST ANSWER": lambda info: str(info.capabilities.max_output_tokens or "-"),
    "STATE": _state,
    "REPLACEMENT": lambda info: info.capabilities.lifecycle.replacement,
}

REGISTERED: Columns = {
    "NAME": lambda model: model.name,
    "ENDPOINT": lambda model: ",".join(model.endpoints) or model.endpoint,
    "TYPE": lambda model: model.adapter_type,
    "STATUS": lambda model: model.status,
}

STATUS: Columns = {
    "NAME": lambda status: status.name,
    "STATUS": lambda status: status.status,
    "REASON": lambda status: status.reason,
    "MESSAGE": lambda status: status.message,
    "ENDPOINT": lambda status: status.endpoint,
    "CHECKED": lambda status: status.last_checked,
    "SINCE": lambda status: moment(status.since),
}


@click.group(no_args_is_help=True)
def models() -> None:
    """Models: those that a chat can name, and your own."""


@models.command("list")
@click.option("--provider", help="Only those of this provider.")
@click.option("--usable", is_flag=True, help="Only those whose provider has its key.")
@output_option
def list_models(provider: str | None, usable: bool, output: str | None) -> None:
    """List models. USD/M are the prices of a million tokens, of input and output."""
    with opened() as platform:
        found = platform.models.iterate_models(provider=provider)
        write_records((info for info in found if info.configured or not usable), LISTED, output)


@models.command()
@click.argument("name")
@output_option
def show(name: str, output: str | None) -> None:
    """Show a model, by its name or an alias."""
    with opened() as platform:
        found = (info for info in platform.models.iterate_models() if name == info.name or name in info.aliases)
        info = next(found, None)
        if info is None:
            # One that is in no list, or none at all, which the service tells.
            capabilities = platform.models.get_model_capabilities(name)
            info = ModelInfo(name=name, capabilities=capabilities)
        write_record(info, SHOWN, output)


@models.command()
@click.argument("name")
@click.argument("endpoint")
@click.option("--type", "adapter_type", default="openai-compatible", help="Adapter type (openai-compatible).")
@click.option("--upstream-model", help="Name of the model at the endpoint; by default NAME.")
@click.option("--provider", help="Name of who serves it.")
@click.option("--alias", "aliases", multiple=True, help="Another name; may be repeated.")
@click.option("--key-variable", help="Variable of the Model Service that has the key for the endpoint.")
@click.option("--validate-only", is_flag=True, help="Check it, and register nothing.")
@output_option
def register(
    name: str,
    endpoint: str,
    adapter_type: str,
    upstream_model: str | None,
    provider: str | None,
    aliases: tuple[str, ...],
    key_variable: str | None,
    validate_only: bool,
    output: str | None,
) -> None:
    """Register a model of your own: genai models register mine http://127.0.0.1:8000/v1 --type vllm"""
    with opened() as platform:
        answer = platform.models.register_model(
            name,
            endpoint=endpoint,
            adapter_type=adapter_type,
            upstream_model=upstream_model,
            provider=provider,
            aliases=aliases,
            credential={"env_var": key_variable} if key_variable else None,
            validate_only=validate_only,
        )
        for notice in answer.warnings:
            say(f"genai: {notice.message} [{notice.code}]")
        write_record(answer.model, REGISTERED, output)


@models.command()
@output_option
def registered(output: str | None) -> None:
    """List the registered models."""
    with opened() as platform:
        write_records(platform.models.iterate_registered_models(), REGISTERED, output)


@models.command()
@click.argument("name")
@output_option
def status(name: str, output: str | None) -> None:
    """Show whether a model can be reached, as its newest probe found it."""
    with opened() as platform:
        write_record(platform.models.get_model_status(name), STATUS, output)


@models.command()
@click.argument("name")
def remove(name: str) -> None:
    """Remove a registered model."""
    with opened() as platform:
        platform.models.deregister_model(name)
    say(f"the model {name} is removed")
