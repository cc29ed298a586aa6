"""The checks of `genai doctor` that need the packages of the services: settings, databases, providers and models."""

from __future__ import annotations

import asyncio
import email.utils
import os
import stat
import time
from collections.abc import Collection, Iterator
from pathlib import Path

from sqlalchemy import select

from genai_platform.cli.findings import Finding, shown
from genai_platform.environment import read_variable
from genai_platform.requests import MODEL_VARIABLE
from genai_platform.v1.models_pb2 import RegisteredModel
from services.access.settings import AccessSettings
from services.gateway.main import GatewaySettings
from services.models import main as models
from services.models.catalog.lifecycle import today_utc
from services.models.catalog.provider_registry import Provider, ProviderRegistry
from services.models.catalog.vendor_models import VendorModels
from services.models.catalog.vendors import is_vendor_host
from services.models.ledger.segments import DAMAGED_SUFFIX, REFUSED_FILE, SUFFIX
from services.models.routing.aliases import read_aliases
from services.models.routing.fallbacks import read_fallbacks
from services.models.settings import ModelsSettings, Settings
from services.models.storage.stored_messages import from_json
from services.models.storage.tables import registered_models
from services.models.transport.api_roots import RootSearch
from services.models.transport.client import HttpClient, open_probing_client
from services.models.transport.egress import EndpointPolicy
from services.sessions import main as sessions
from services.sessions.main import SessionsSettings
from services.shared.errors import PlatformError, StartupError
from services.shared.inspection import inspect
from services.shared.internal_keys import FILE as INTERNAL_KEY_FILE
from services.shared.misspelt import find_misspelt, variables_of
from services.shared.settings import FILE_SUFFIX, ServiceSettings, is_loopback, is_secret, load_env_file, load_settings

PROVIDER_SECONDS = 5.0
CLOCK_SECONDS = 30.0
"""Difference of clocks beyond which it is told of."""
SHIPPED_SECONDS = 900.0
"""Age of a file of the ledger from which on it is told of: a service ships within a second, but for chats that run."""
KEY_FILE_VARIABLES = ("GENAI_TLS_KEY_FILE", "GENAI_TLS_CLIENT_KEY_FILE", "GENAI_API_KEY_FILE")
OTHERS = 0o077
"""Bits of a file's mode for its group and all other users."""

ACCESS_MIGRATIONS = Path(models.__file__).parents[1] / "access" / "migrations"


def check_services(exported: Collection[str], sdk_variables: Collection[str]) -> list[Finding]:
    """All findings about the services. `exported` are the variables that were set before `.env` was read."""
    findings: list[Finding] = []
    loaded: dict[type[ServiceSettings], ServiceSettings] = {}
    try:
        load_env_file()
    except StartupError as error:
        findings.append(Finding("settings", "error", str(error), "correct the file"))
    for kind in (SessionsSettings, Settings, GatewaySettings):
        try:
            loaded[kind] = load_settings(kind)
        except StartupError as error:
            findings += [Finding("settings", "error", problem, "correct it") for problem in str(error).split("; ")]
    findings = [*_settings(exported, sdk_variables), *dict.fromkeys(findings), *_misspelt(sdk_variables)]
    findings += asyncio.run(_ask(loaded))
    if isinstance(ledgers := loaded.get(Settings), ModelsSettings):
        findings += _ledger_files(ledgers.data_path() / "usage")
    for settings in list(loaded.values())[:1]:
        findings += _insecure(settings)
    return findings


def _settings(exported: Collection[str], sdk_variables: Collection[str]) -> Iterator[Finding]:
    secrets, plain = _names()
    for name in sorted((secrets | plain) - set(sdk_variables)):
        if value := os.environ.get(name):
            place = "environment" if name in exported else ".env"
            yield Finding("setting", "ok", f"{name}={'set' if name in secrets else shown(value)} ({place})")


def _names() -> tuple[set[str], set[str]]:
    """The variables of all services that hold secrets or name accounts, and the others."""
    known = _known()
    fields = [field for kind in (SessionsSettings, Settings, GatewaySettings) for field in kind.model_fields.values()]
    secrets = {str(field.validation_alias) for field in fields if is_secret(field)}
    secrets |= {name for vendor in Settings.vendors.values() for name in vendor.header_variables.values()}
    return secrets, known - secrets


def _known() -> set[str]:
    return variables_of(SessionsSettings) | variables_of(Settings) | variables_of(GatewaySettings)


def _misspelt(sdk_variables: Collection[str]) -> Iterator[Finding]:
    for name, meant in find_misspelt(os.environ, _known() | set(sdk_variables)):
        yield Finding("misspelt", "warning", f"{name} is no setting", f"did you mean {meant}?")


async def _ask(loaded: dict[type[ServiceSettings], ServiceSettings]) -> list[Finding]:
    """The findings about databases, providers, clock and models, all asked at once."""
    checks = []
    for settings in loaded.values():
        if isinstance(settings, SessionsSettings):
            checks.append(_databases({"sessions": (settings.choose_database_url(), sessions.MIGRATIONS)}))
        if isinstance(settings, ModelsSettings):
            checks += [_databases(_model_databases(settings)), _providers(settings), _models(settings)]
        if isinstance(settings, AccessSettings) and settings.auth_mode == "required":
            checks.append(_databases({"access": (settings.choose_access_database_url(), ACCESS_MIGRATIONS)}))
    return [finding for findings in await asyncio.gather(*checks) for finding in findings]


def _model_databases(settings: ModelsSettings) -> dict[str, tuple[str, Path]]:
    databases = {
        "models": (settings.choose_database_url(), models.MIGRATIONS),
        "calls": (settings.choose_calls_database_url(), models.CALL_MIGRATIONS),
        "usage": (settings.choose_usage_database_url(), models.LEDGER_MIGRATIONS),
    }
    try:
        captures = settings.may_capture()
    except StartupError:
        # Told of by the check of the models' settings.
        captures = False
    if captures:
        databases["capture"] = (settings.choose_capture_database_url(), models.CAPTURE_MIGRATIONS)
    return databases


async def _databases(databases: dict[str, tuple[str, Path]]) -> list[Finding]:
    return list(await asyncio.gather(*(_database(name, *place) for name, place in databases.items())))


async def _database(name: str, url: str, migrations: Path) -> Finding:
    try:
        found = await inspect(url, migrations)
    except StartupError as error:
        return Finding("database", "error", f"{name}: {error}", _database_advice(url))
    if found.revision is None:
        return Finding("database", "ok", f"{name}: {found.location} has no tables yet; the service makes them")
    if found.revision == found.known[-1]:
        return Finding("database", "ok", f"{name}: {found.location} has the newest schema, {found.revision}")
    text = f"{name}: {found.location} has schema {found.revision}, this program {found.known[-1]}"
    if found.revision in found.known:
        return Finding("database", "warning", text, "start the service, which upgrades it; back it up before")
    return Finding("database", "error", text, "run the program that wrote it, or a newer one")


def _database_advice(url: str) -> str:
    if url.startswith("sqlite"):
        return "correct its path or the rights of its user, or restore it: genai restore"
    return "start it, or correct its URL or the rights of its user"


def _ledger_files(directory: Path) -> Iterator[Finding]:
    """The findings about the ledger's files that somebody should look at."""
    try:
        files = {file: file.stat().st_mtime for file in sorted(directory.iterdir())}
    except OSError:
        # There is none yet, or it is another user's.
        return
    for file in files:
        if file.suffix == DAMAGED_SUFFIX:
            advice = "look after the disk and compare with the providers' invoices, then remove it"
            yield Finding("ledger", "warning", f"{file}: a part of it could not be read", advice)
        elif file.name == REFUSED_FILE:
            yield Finding("ledger", "warning", f"{file}: the database has refused these records", "see the log")
    waiting = [time.time() - modified for file, modified in files.items() if file.suffix == SUFFIX]
    if waiting and max(waiting) > SHIPPED_SECONDS:
        text = f"{directory} has usage of {max(waiting):.0f} s ago that the database does not have"
        yield Finding("ledger", "warning", text, "start the Model Service, or the database")


async def _providers(settings: ModelsSettings) -> list[Finding]:
    try:
        providers = ProviderRegistry(settings.accounts())
        client = open_probing_client(EndpointPolicy((), providers.base_urls().values()), settings.choose_network())
    except StartupError as error:
        return [Finding("provider", "error", str(error), "correct it")]
    if not providers.all():
        variables = " or ".join(vendor.key_variable for vendor in settings.vendors.values())
        return [Finding("provider", "warning", "no provider has a key", f"set {variables}, or register a model")]
    try:
        answers = await asyncio.gather(*(_provider(provider, client) for provider in providers.all()))
    finally:
        await client.close()
    dates = [date for _, date in answers if date]
    return [*(finding for finding, _ in answers), *(_clock(date) for date in dates[:1])]


async def _provider(provider: Provider, client: HttpClient) -> tuple[Finding, str]:
    """The finding about a provider, and the date of its answer, "" for none."""
    vendor = provider.vendor
    listing = vendor.adapter.listing
    search = RootSearch(provider.api_roots, listing.path)
    try:
        async with asyncio.timeout(PROVIDER_SECONDS):
            while True:
                async with client.get(search.url + listing.query(""), provider.headers) as answer:
                    status, date = answer.status, answer.headers.get("date", "")
                if status not in (404, 405) or not search.try_next():
                    break
    except TimeoutError:
        problem = f"no answer within {PROVIDER_SECONDS:.0f} s"
        return _provider_error(provider, problem, f"look at network, proxy and {vendor.url_variable}"), ""
    except PlatformError as error:
        return _provider_error(provider, error.reason, f"look at network, proxy and {vendor.url_variable}"), ""
    if status == 200:
        return Finding("provider", "ok", f"{vendor.name} lists its models"), date
    if status in (401, 403):
        return _provider_error(provider, f"refuses the key (HTTP {status})", f"correct {vendor.key_variable}"), date
    advice = f"correct {vendor.url_variable}, or wait if the provider is troubled"
    return _provider_error(provider, f"answers HTTP {status}", advice), date


def _provider_error(provider: Provider, problem: str, advice: str) -> Finding:
    return Finding("provider", "error", f"{provider.vendor.name}: {problem}", advice)


def _clock(date: str) -> Finding:
    try:
        offset = time.time() - email.utils.parsedate_to_datetime(date).timestamp()
    except ValueError:
        return Finding("clock", "ok", "not compared: the provider's date cannot be read")
    if abs(offset) <= CLOCK_SECONDS:
        return Finding("clock", "ok", "agrees with the provider's")
    ahead = "ahead of" if offset > 0 else "behind"
    return Finding("clock", "warning", f"{abs(offset):.0f} s {ahead} the provider's", "synchronise it, as by NTP")


async def _models(settings: ModelsSettings) -> list[Finding]:
    """The vendors' models in use that are retired, or soon will be."""
    vendor_models, today = VendorModels(settings.vendors), today_utc()
    try:
        aliases = read_aliases(settings.aliases, vendor_models)
        fallbacks = read_fallbacks(settings.fallbacks)
    except StartupError as error:
        return [Finding("settings", "error", str(error), "correct it")]
    uses = [(f"alias {alias}", model) for alias, model in aliases.items()]
    uses += [(f"fallback of {model}", name) for model, names in fallbacks.items() for name in names]
    uses += [("MODELS_FALLBACKS", model) for model in fallbacks]
    uses += [(MODEL_VARIABLE, model) for model in [read_variable(MODEL_VARIABLE)] if model]
    uses += [(f"registered model {model.name}", model.upstream_model) for model in await _registered(settings)]
    findings = []
    for use, name in uses:
        known = vendor_models.look_up(name)
        if known is None or not (known.lifecycle.is_retired(today) or known.lifecycle.is_ending(today)):
            continue
        day = known.lifecycle.shutdown
        state = "is retired" if known.lifecycle.is_retired(today) else "will be retired"
        advice = f"name {known.lifecycle.replacement or 'another model'} instead"
        findings.append(Finding("model", "warning", f"{use}: {name} {state}{f' ({day})' if day else ''}", advice))
    return findings or [Finding("model", "ok", "no model in use is retired, or will be within 60 days")]


async def _registered(settings: ModelsSettings) -> list[RegisteredModel]:
    """The registered models at vendors' own servers; none where the database cannot be read, which is told of."""
    try:
        found = await inspect(
            settings.choose_database_url(), models.MIGRATIONS, select(registered_models.c.definition_json)
        )
    except StartupError:
        return []
    stored = [from_json(text, RegisteredModel()) for text in found.rows]
    return [model for model in stored if is_vendor_host(model.endpoint)]


def _insecure(settings: ServiceSettings) -> list[Finding]:
    findings = []
    open_to_others = not is_loopback(settings.host)
    if settings.insecure == "yes":
        findings.append(Finding("security", "warning", "GENAI_INSECURE=yes", "use TLS and AUTH_MODE=required instead"))
    if open_to_others and settings.tls_cert_file is None:
        found = f"GENAI_HOST={settings.host} can be reached by other machines, without TLS"
        findings.append(Finding("security", "warning", found, "set GENAI_TLS_CERT_FILE and GENAI_TLS_KEY_FILE"))
    if open_to_others and settings.auth_mode == "off" and settings.tls_client_ca_file is None:
        found = f"GENAI_HOST={settings.host} can be reached by other machines, and nobody is asked for a key"
        # As the services do, which refuse to start.
        is_refused = settings.tls_cert_file is None and settings.insecure == "no"
        advice = "set AUTH_MODE=required, or listen on 127.0.0.1"
        findings.append(Finding("security", "error" if is_refused else "warning", found, advice))
    for path in sorted(_key_files(settings)):
        mode = _mode(path)
        if mode & OTHERS:
            found = f"{path} is open to other users ({mode:04o})"
            findings.append(Finding("security", "warning", found, f"run: chmod 600 {path}"))
    return findings or [Finding("security", "ok", "nothing insecure was found")]


def _key_files(settings: ServiceSettings) -> set[Path]:
    """The files with keys that the settings name, those that are not there included."""
    secrets, _ = _names()
    named = [os.environ.get(name + FILE_SUFFIX) for name in secrets]
    named += [os.environ.get(name) for name in KEY_FILE_VARIABLES]
    files = {Path(name).expanduser().absolute() for name in named if name}
    return files | {Path(".env").absolute(), settings.data_path() / INTERNAL_KEY_FILE}


def _mode(path: Path) -> int:
    try:
        return stat.S_IMODE(path.stat().st_mode)
    except OSError:
        return 0
