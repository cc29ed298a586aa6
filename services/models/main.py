"""The Model Service: one call to any language model, OpenAI's, Anthropic's or your own."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import functools
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import NamedTuple

from proto import content_pb2, models_pb2, usage_pb2
from services.models.access.credential_bounds import read_bounds
from services.models.access.credentials import Credentials
from services.models.access.key_files import KeyFiles
from services.models.access.trust import ByTrust, TrustPolicy
from services.models.attempts.limits import AttemptLimits
from services.models.calls.idempotency import Idempotency, purge_answers
from services.models.calls.kept_answers import KeptAnswers
from services.models.capture.capture import Capture
from services.models.capture.captured_content import CapturedContent
from services.models.capture.content_service import ContentServicer
from services.models.capture.redaction import Redactor
from services.models.catalog import prices
from services.models.catalog.discovery import Discovery
from services.models.catalog.lifecycle import Today, today_utc
from services.models.catalog.provider_registry import ProviderRegistry
from services.models.catalog.vendor_models import VendorModels
from services.models.chat.account import Accounts
from services.models.chat.chat import ChatService
from services.models.chat.limits import ChatLimits
from services.models.custom_models.model_registry import ModelRegistry
from services.models.custom_models.name_rules import NameRules
from services.models.custom_models.registration_service import RegistrationService
from services.models.health.monitor import HealthMonitor
from services.models.ledger.budgets import LedgerSpentSource
from services.models.ledger.ledger import Ledger
from services.models.ledger.metrics import reading_ledger
from services.models.ledger.outbox import Outbox
from services.models.ledger.store import UsageStore
from services.models.ledger.usage_service import UsageServicer
from services.models.limits.budget_alerts import BudgetAlerts
from services.models.limits.estimate import Estimator
from services.models.limits.metrics import measuring_limits
from services.models.limits.opening import migrate_limits, open_limiter
from services.models.limits.webhook import open_webhook
from services.models.metrics import reading
from services.models.prompts.adoption import give_prompts
from services.models.prompts.memory import PromptMemory
from services.models.routing.aliases import log_hidden, read_aliases
from services.models.routing.all_models import AllModels
from services.models.routing.directory import ModelDirectory
from services.models.routing.fallbacks import Fallbacks, read_fallbacks
from services.models.routing.request_limits import read_request_limits
from services.models.routing.router import Router
from services.models.routing.stored_prices import StoredPrices
from services.models.routing.timeouts import read_timeout_settings
from services.models.servicer import ModelServicer
from services.models.sessions.client import SessionClient
from services.models.sessions.turn import TurnFactory
from services.models.settings import ModelsSettings, Settings
from services.models.transport.client import HttpClient, open_probing_client
from services.models.transport.egress import EndpointPolicy
from services.shared import descriptors
from services.shared.admin_port import open_admin_port
from services.shared.admission import Admission
from services.shared.adoption import adopt
from services.shared.backlog import tell_backlog
from services.shared.channels import any_in_tls
from services.shared.database import Database
from services.shared.descriptors import raise_descriptor_limit
from services.shared.errors import StartupError
from services.shared.fair_quota import FairQuota
from services.shared.identity import PROCESS_CALLERS, Callers, IdentitySigner
from services.shared.intake import PROCESS_INTAKE
from services.shared.internal_keys import open_signer
from services.shared.listener import check_port
from services.shared.logs import Log, open_log
from services.shared.misspelt import tell_misspelt
from services.shared.rpc import NoSuchMethod, service_handler
from services.shared.server import Server, announce, run, serve
from services.shared.settings import load_settings
from services.shared.settings_help import describe_environment
from services.shared.storage_health import StorageServer
from services.shared.tcp_port import check_named_port
from services.shared.tls import ServerTls, open_client_tls, open_server_tls
from services.shared.tracing import open_tracing

DEFAULT_HTTP_PORT = 50080
"""The port for HTTP where none is set."""

MIGRATIONS = Path(__file__).resolve().parent / "migrations"
CALL_MIGRATIONS = Path(__file__).resolve().parent / "calls" / "migrations"
CAPTURE_MIGRATIONS = Path(__file__).resolve().parent / "capture" / "migrations"
LEDGER_MIGRATIONS = Path(__file__).resolve().parent / "ledger" / "migrations"
SERVICE = models_pb2.DESCRIPTOR.services_by_name["ModelService"]
CONTENT_SERVICE = content_pb2.DESCRIPTOR.services_by_name["ContentService"]
USAGE_SERVICE = usage_pb2.DESCRIPTOR.services_by_name["UsageService"]

NOTES = """\
A start also migrates. A PostgreSQL that cannot be reached is waited for: the service starts and answers UNAVAILABLE to
what needs it; --migrate refuses, with exit code 78.
"""


class Service(NamedTuple):
    """The Model Service, ready to be served."""

    servicer: ModelServicer
    chats: ChatService
    directory: ModelDirectory
    usage: UsageServicer
    content: ContentServicer
    description: str
    """The location of its data and its providers, for the operator."""
    database: Database
    providers: ProviderRegistry
    endpoints: ByTrust[EndpointPolicy]


@contextlib.asynccontextmanager
async def open_service(settings: ModelsSettings, log: Log, today: Today = today_utc) -> AsyncIterator[Service]:
    """Opens the service with all its parts, for the length of a block. Raises StartupError."""
    providers = ProviderRegistry(settings.accounts())
    vendor_models = VendorModels(settings.vendors)
    aliases = read_aliases(settings.aliases, vendor_models)
    fallback_models, timeouts = read_fallbacks(settings.fallbacks), read_timeout_settings(settings.timeouts)
    max_requests = read_request_limits(settings.max_requests)
    capture_policy, redactor = settings.read_capture_policy(), Redactor(settings.read_redacted_kinds())
    network = settings.choose_network()
    sessions_tls = open_client_tls(settings, log) if any_in_tls(settings.sessions_address) else None
    endpoints = ByTrust(
        EndpointPolicy(settings.choose_allowed_endpoints(by_stranger=False), providers.base_urls().values()),
        EndpointPolicy(settings.choose_allowed_endpoints(by_stranger=True), discreet=True),
    )
    files = KeyFiles(settings.choose_credentials_directory())
    credentials = Credentials(files, read_bounds(settings.credentials, files, providers.vendor_keys()))
    database = await Database.open(settings.choose_database_url(), MIGRATIONS, log, serves=True)
    calls = contextlib.AsyncExitStack()
    probing = ByTrust(*(open_probing_client(policy, network) for policy in endpoints))
    monitor = HealthMonitor(log, probing)
    # Separate clients, so that strangers' calls never use the operator's connections.
    connections = FairQuota(settings.choose_max_connections())
    transports = ByTrust(
        *(HttpClient(endpoints=policy, connections=connections, network=network) for policy in endpoints)
    )
    sessions = SessionClient(settings.sessions_address, log, sessions_tls)
    discovery = Discovery(vendor_models, probing.operators, log, today=today)
    try:
        calls.enter_context(reading(monitor, vendor_models, providers, database))
        idempotency = await calls.enter_async_context(_open_calls(settings, log))
        ledger = await calls.enter_async_context(_open_ledger(settings, log))
        prompts = PromptMemory(database)
        names = NameRules(vendor_models, aliases, settings.overrides, fallback_models)
        registry = ModelRegistry(database, monitor, names, endpoints, credentials)
        await database.watch(prompts.load)
        await database.watch(registry.load)
        models = AllModels(registry, vendor_models, aliases, today)
        router = Router(models, providers, credentials, settings.retired_policy, timeouts, max_requests)
        fallbacks = Fallbacks(models, fallback_models)
        directory = ModelDirectory(models, registry, providers, monitor)
        turns = TurnFactory(sessions, directory.capabilities)
        trust = TrustPolicy(exposed=settings.is_exposed())
        limits = AttemptLimits(settings.max_attempts, max_requests=max_requests)
        accounts = Accounts(ledger, prices.list_name())
        limiter = await calls.enter_async_context(
            open_limiter(settings.choose_limits(), log, LedgerSpentSource(ledger))
        )
        meter = calls.enter_context(measuring_limits(limiter, settings.choose_limits().store))
        webhook = await calls.enter_async_context(open_webhook(*settings.choose_alert_webhook(), log, network))
        alerts = BudgetAlerts(log, webhook)
        caller_limits = ChatLimits(limiter, Estimator(settings.limits_reserve), meter, alerts)
        content = None
        if settings.may_capture():
            content = await calls.enter_async_context(_open_content(settings, redactor, log))
        capture = Capture(content, capture_policy)
        chats = ChatService(
            transports,
            router,
            fallbacks,
            limits,
            idempotency,
            prompts,
            turns,
            trust,
            accounts,
            caller_limits,
            capture,
        )
        registrations = RegistrationService(registry, trust)
        servicer = ModelServicer(chats, directory, registrations, prompts, trust)
        log_hidden(aliases, registry, vendor_models, log)
        if settings.discovery == "on":
            discovery.start(providers.all())
        providers_text = _describe_providers(providers.configured(), settings)
        proxies = f", proxies: {', '.join(shown)}" if (shown := network.proxies.shown()) else ""
        yield Service(
            servicer,
            chats,
            directory,
            UsageServicer(ledger, trust, caller_limits.standings, StoredPrices(registry)),
            ContentServicer(content),
            f"data in {database.location}, {providers_text}{proxies}",
            database,
            providers,
            endpoints,
        )
    finally:
        await discovery.close()
        await monitor.close()
        await sessions.close()
        for client in (*transports, *probing):
            await client.close()
        await calls.aclose()
        await database.close()


@contextlib.asynccontextmanager
async def _open_calls(settings: ModelsSettings, log: Log) -> AsyncIterator[Idempotency]:
    """Opens the store of answers under request ids, for the length of a block. Raises StartupError."""
    database = await Database.open(
        settings.choose_calls_database_url(), CALL_MIGRATIONS, log, announced=False, serves=True
    )
    answers = KeptAnswers(database)
    idempotency, purging = Idempotency(answers), asyncio.create_task(purge_answers(answers, log))
    try:
        yield idempotency
    finally:
        purging.cancel()
        await asyncio.wait({purging})
        await idempotency.close()
        await database.close()


@contextlib.asynccontextmanager
async def _open_ledger(settings: ModelsSettings, log: Log) -> AsyncIterator[Ledger]:
    """Opens the ledger, for the length of a block. Raises StartupError."""
    tag_keys = settings.read_usage_tag_keys()
    directory, max_bytes = settings.data_path() / "usage", settings.usage_outbox_max * 1024 * 1024
    outbox = Outbox(directory, log, max_bytes=max_bytes, syncs=settings.usage_fsync == "1")
    database = await Database.open(
        settings.choose_usage_database_url(), LEDGER_MIGRATIONS, log, announced=False, serves=True
    )
    ledger = Ledger(outbox, UsageStore(database, tag_keys), log, event_days=settings.usage_event_days)
    ledger.start()
    try:
        with reading_ledger(ledger):
            yield ledger
    finally:
        await ledger.close()
        await database.close()


@contextlib.asynccontextmanager
async def _open_content(settings: ModelsSettings, redactor: Redactor, log: Log) -> AsyncIterator[CapturedContent]:
    """Opens the store of captured content, for the length of a block. Raises StartupError."""
    database = await Database.open(
        settings.choose_capture_database_url(), CAPTURE_MIGRATIONS, log, announced=False, serves=True
    )
    content = CapturedContent(database, redactor, log, settings.capture_days)
    try:
        yield content
    finally:
        await content.close()
        await database.close()


def _describe_providers(configured: Sequence[str], settings: ModelsSettings) -> str:
    if configured:
        return f"providers: {', '.join(configured)}"
    variables = " or ".join(vendor.key_variable for vendor in settings.vendors.values())
    return (
        f"no provider is configured: set {variables} (in .env or the environment) and restart, or register a model of"
        " your own with RegisterModel"
    )


async def start() -> None:
    """Runs the Model Service until a signal stops it. Raises StartupError."""
    settings = load_settings(Settings)
    log = open_log("models", settings.log_level, form=settings.log_format)
    tell_misspelt(Settings, log)
    raise_descriptor_limit(log)
    # Checked before the database is opened and possibly migrated.
    check_port(settings.host, settings.port)
    check_named_port(settings.host, settings.http_port or 0, "MODELS_HTTP_PORT")
    tls = open_server_tls(settings, log)
    signer = open_signer(settings, addresses={"SESSIONS_ADDRESS": settings.sessions_address})
    PROCESS_CALLERS.require(signer)
    async with (
        open_admin_port("models", settings.admin_host, settings.admin_port, log) as admin,
        open_tracing("models", settings.otlp_endpoint, log),
        open_service(settings, log) as service,
        _open_http_callers(settings, signer, log) as http_callers,
    ):
        # Chats need no database: they are answered from memory.
        names = [SERVICE.full_name, USAGE_SERVICE.full_name, CONTENT_SERVICE.full_name]
        server = StorageServer(service.database, names, needs_storage=False)
        # Most descriptors are for connections to models.
        port = server.bind(settings.host, settings.port, descriptors.connection_limit() // 6, tls)
        generation = Admission(min(settings.max_calls, settings.choose_max_connections()))
        server.add(service_handler(service.servicer, SERVICE, log, generation=generation))
        server.add(service_handler(service.usage, USAGE_SERVICE, log))
        server.add(service_handler(service.content, CONTENT_SERVICE, log))
        server.add(NoSuchMethod(names, log))
        tell_backlog(server.health, SERVICE.full_name, PROCESS_INTAKE)
        http = await _bind_http(settings, service, server, tls, http_callers, generation, log)
        await server.start()
        host = f"[{settings.host}]" if ":" in settings.host else settings.host
        await serve(server, settings, log, f"models: listening on {host}:{port}{http}, {service.description}", admin)


@contextlib.asynccontextmanager
async def _open_http_callers(
    settings: ModelsSettings, signer: IdentitySigner | None, log: Log
) -> AsyncIterator[Callers]:
    """Opens the check of who calls over HTTP, for the length of a block: no gateway has asked before. Raises
    StartupError."""
    if signer is None or settings.http_port == 0:
        yield Callers()
        return
    # Here, because a service that asks nobody who calls does not need it.
    from services.access.access import open_authenticator

    async with open_authenticator(settings, signer, log) as opened:
        yield opened.authenticator


async def _bind_http(
    settings: ModelsSettings,
    service: Service,
    server: Server,
    tls: ServerTls | None,
    callers: Callers,
    generation: Admission,
    log: Log,
) -> str:
    """Binds the port for HTTP, if there is to be one, and returns how it is announced. Raises StartupError."""
    if settings.http_port == 0:
        return ""
    # Here, because it loads a server that is not needed without it.
    from services.models.http_port.opening import make_port

    port = make_port(
        service.chats,
        service.directory,
        log,
        callers,
        generation,
        max_connections=descriptors.connection_limit() // 6,
        hosts=split_names(settings.http_hosts),
        origins=split_names(settings.http_origins),
        relays=split_names(settings.http_relays),
        exposed=settings.is_exposed(),
    )
    wanted = DEFAULT_HTTP_PORT if settings.http_port is None else settings.http_port
    try:
        bound = await port.bind(settings.host, wanted, tls.http_context() if tls else None)
    except StartupError:
        if settings.http_port is not None:
            raise
        # Another Model Service of this machine has it: nobody has asked for it here.
        log.warning("there is no port for HTTP, because the default is in use; set MODELS_HTTP_PORT", port=wanted)
        return ""
    server.attach(port)
    _close_own_port(service, settings.host, bound)
    host = f"[{settings.host}]" if ":" in settings.host else settings.host
    return f", {'https' if tls else 'http'}://{host}:{bound} for HTTP"


def _close_own_port(service: Service, host: str, port: int) -> None:
    """Keeps the service from calling itself by its port for HTTP. Raises StartupError where the base URL of a provider
    leads there, as where it is exported for clients."""
    for policy in service.endpoints:
        policy.close_own_port(host, port)
    for provider in service.providers.all():
        if service.endpoints.operators.is_own(provider.endpoint):
            raise StartupError(
                f"{provider.vendor.url_variable}: leads to this service's own port for HTTP, {port}, as its clients"
                " need it; unset it here, or set it to the provider's"
            )


def split_names(text: str) -> list[str]:
    """The names in a setting with commas between them."""
    return [name for name in map(str.strip, text.split(",")) if name]


async def migrate() -> None:
    """Brings the database to this program's schema. Raises StartupError."""
    settings = load_settings(Settings)
    log = open_log("models", settings.log_level, form=settings.log_format)
    location = await Database.migrate(settings.choose_database_url(), MIGRATIONS, log)
    await Database.migrate(settings.choose_calls_database_url(), CALL_MIGRATIONS, log)
    await Database.migrate(settings.choose_usage_database_url(), LEDGER_MIGRATIONS, log)
    await migrate_limits(settings.choose_limits(), log)
    if settings.may_capture():
        await Database.migrate(settings.choose_capture_database_url(), CAPTURE_MIGRATIONS, log)
    announce(f"models: schema is up to date in {location}")


async def adopt_all(project_id: str) -> None:
    """Gives a project all that belongs to none. Raises StartupError."""
    settings = load_settings(Settings)
    log = open_log("models", settings.log_level, form=settings.log_format)
    given = await adopt(settings.choose_database_url(), MIGRATIONS, log, project_id, give_prompts)
    announce(f"models: {given}")


def main() -> None:
    """Runs the Model Service from the command line."""
    parser = argparse.ArgumentParser(
        prog="models",
        description=__doc__,
        epilog=f"{describe_environment(Settings)}\n\n{NOTES}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--migrate", action="store_true", help="bring the database to this program's schema, and end")
    what = "give PROJECT all that was stored without AUTH_MODE=required, and end; stop the service before"
    parser.add_argument("--adopt", metavar="PROJECT", help=what)
    arguments = parser.parse_args()
    adopting = functools.partial(adopt_all, arguments.adopt)
    run("models", adopting if arguments.adopt is not None else migrate if arguments.migrate else start)


if __name__ == "__main__":
    main()
