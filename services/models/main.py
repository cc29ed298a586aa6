"""The Model Service: one call to any language model, OpenAI's, Anthropic's or your own."""

from __future__ import annotations

import argparse
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import NamedTuple

from proto import models_pb2
from services.models.access.credential_bounds import read_bounds
from services.models.access.credentials import Credentials
from services.models.access.key_files import KeyFiles
from services.models.access.trust import ByTrust, TrustPolicy
from services.models.catalog.discovery import Discovery
from services.models.catalog.lifecycle import Today, today_utc
from services.models.catalog.provider_registry import ProviderRegistry
from services.models.catalog.vendor_models import VendorModels
from services.models.chat.chat import ChatService
from services.models.custom_models.model_registry import ModelRegistry
from services.models.custom_models.name_rules import NameRules
from services.models.health.monitor import StatusBoard
from services.models.prompts.prompt_registry import PromptRegistry
from services.models.routing.aliases import read_aliases, tell_hidden
from services.models.routing.directory import ModelDirectory
from services.models.routing.router import Router
from services.models.servicer import GENERATING_METHODS, ModelServicer
from services.models.sessions.client import SessionClient
from services.models.sessions.turn import Turns
from services.models.settings import ModelsSettings
from services.models.transport.client import HttpClient, open_probing_client
from services.models.transport.egress import EndpointPolicy
from services.shared import descriptors
from services.shared.admission import MAX_CALLS, Admission
from services.shared.database import Database
from services.shared.descriptors import raise_descriptor_limit
from services.shared.fair_quota import FairQuota
from services.shared.logs import Log, open_log
from services.shared.rpc import NoSuchMethod, service_handler
from services.shared.server import announce, run, serve
from services.shared.settings import load_settings
from services.shared.storage_health import StorageServer

MIGRATIONS = Path(__file__).resolve().parent / "migrations"
SERVICE = models_pb2.DESCRIPTOR.services_by_name["ModelService"]

ENVIRONMENT = """\
environment variables (also read from .env; an exported one wins):
  OPENAI_API_KEY         configures OpenAI; OPENAI_BASE_URL, OPENAI_ORG_ID and OPENAI_PROJECT_ID as in its SDK
  ANTHROPIC_API_KEY      configures Anthropic; ANTHROPIC_BASE_URL as in its SDK
  MODELS_PORT            port to listen on, 0 for any free one           (default 50053)
  MODELS_DATABASE_URL    where models and prompts are kept               (default SQLite in GENAI_DATA_DIR)
  MODELS_RETIRED_POLICY  replace or reject models that their vendor has retired   (default replace)
  MODELS_ALIASES         names of your own for models: alias=model, with commas
  MODELS_DISCOVERY       on or off: ask the providers every hour which models they serve  (default on)
  MODELS_ALLOWED_ENDPOINTS   where registered models may be, beside public addresses: private (loopback and private
                         ranges), none, addresses, networks, host names, *.domain, with commas
                         (default private on a loopback GENAI_HOST, else none; none for strangers)
  MODELS_CREDENTIALS_DIR directory of the files that Credential.file may name      (default none)
  MODELS_CREDENTIALS     keys and the only endpoints that they may go to: variable=URL, file:path=URL, with commas;
                         strangers may name no other keys                          (default none)
  MODELS_OVERRIDES       allow or refuse: whether a registration may take a name that is in use, or remove one
                                                        (default allow, and refuse to strangers)
  GENAI_EXPOSED          yes where others than this machine's user can call: then callers are strangers, as they are
                         behind a gateway that is exposed; a GENAI_HOST beyond this machine means it  (default no)
  MODELS_MAX_CONNECTIONS connections to models' servers at a time; one server gets as many as are left free
                                         (default two thirds of what the limit of open files allows)
  SESSIONS_ADDRESS       host:port of the Session Service                (default 127.0.0.1:50052)
  GENAI_HOST             address to listen on                            (default 127.0.0.1)
  GENAI_DATA_DIR         directory of the SQLite files                   (default data/ in the project)
  GENAI_REQUEST_MEMORY_MIB   MiB of large requests, in all their forms, that are held at a time; others wait
                         (default 256)
  GENAI_EVENT_LOOP       uvloop or asyncio                               (default uvloop where it is installed)
  GENAI_LOG_LEVEL        debug, info, warning or error                   (default info)
  GENAI_GRACE_SECONDS    time that running calls get at a stop           (default 30)

A start also migrates. A PostgreSQL that cannot be reached is waited for: the service starts and answers UNAVAILABLE to
what needs it; --migrate refuses, with exit code 78.
"""

NO_PROVIDER = (
    "no provider is configured: set OPENAI_API_KEY or ANTHROPIC_API_KEY (in .env or the environment) and restart,"
    " or register a model of your own with RegisterModel"
)


class Service(NamedTuple):
    """The Model Service, ready to be served."""

    servicer: ModelServicer
    description: str
    """Where its data is, and which providers it has; for the operator."""
    database: Database


@contextlib.asynccontextmanager
async def open_service(settings: ModelsSettings, log: Log, today: Today = today_utc) -> AsyncIterator[Service]:
    """The service and all that stands behind it, for the length of a block. Raises StartupError."""
    providers = ProviderRegistry(settings)
    aliases = read_aliases(settings.aliases)
    allowed = settings.choose_allowed_endpoints()
    network = settings.choose_network()
    endpoints = ByTrust(
        EndpointPolicy(allowed.operators, providers.base_urls().values()),
        EndpointPolicy(allowed.strangers, discreet=True),
    )
    files = KeyFiles(settings.choose_credentials_directory())
    credentials = Credentials(files, read_bounds(settings.credentials, files, providers.key_urls()))
    database = await Database.open(settings.choose_database_url(), MIGRATIONS, log)
    probing = ByTrust(*(open_probing_client(policy, network) for policy in endpoints))
    board = StatusBoard(log, probing)
    # Apart, so that no stranger's call goes over a connection that only the operator's may have.
    connections = FairQuota(settings.choose_max_connections())
    transports = ByTrust(
        *(HttpClient(endpoints=policy, connections=connections, network=network) for policy in endpoints)
    )
    sessions = SessionClient(settings.sessions_address)
    vendor_models = VendorModels()
    discovery = Discovery(vendor_models, probing.operators, log, today=today)
    try:
        prompts = PromptRegistry(database)
        names = NameRules(vendor_models, aliases, settings.overrides)
        models = ModelRegistry(database, board, names, endpoints, credentials)
        await database.watch(prompts.load)
        await database.watch(models.load)
        router = Router(providers, models, vendor_models, settings.retired_policy, credentials, aliases, today)
        directory = ModelDirectory(providers, models, vendor_models, router, board, aliases, today)
        turns = Turns(sessions, directory.capabilities)
        trust = TrustPolicy(exposed=settings.is_exposed())
        chats = ChatService(transports, router, prompts, turns, trust)
        servicer = ModelServicer(chats, directory, models, prompts, trust)
        tell_hidden(aliases, models, log)
        if settings.discovery == "on":
            discovery.start(providers.all())
        configured = ", ".join(providers.configured())
        told = f"providers: {configured}" if configured else NO_PROVIDER
        proxies = f", proxies: {', '.join(shown)}" if (shown := network.proxies.shown()) else ""
        yield Service(servicer, f"data in {database.location}, {told}{proxies}", database)
    finally:
        await discovery.close()
        await board.close()
        await sessions.close()
        for client in (*transports, *probing):
            await client.close()
        await database.close()


async def start() -> None:
    """Runs the Model Service until a signal stops it. Raises StartupError."""
    settings = load_settings(ModelsSettings)
    log = open_log("models", settings.log_level)
    raise_descriptor_limit(log)
    # Chats are answered from memory.
    server = StorageServer([SERVICE.full_name], needs_storage=False)
    # Most descriptors are for connections to models.
    port = server.bind(settings.host, settings.port, descriptors.connection_limit() // 6)
    async with open_service(settings, log) as service:
        server.database = service.database
        generation = Admission(min(MAX_CALLS, settings.choose_max_connections()))
        server.add(
            service_handler(service.servicer, SERVICE, log, generating=GENERATING_METHODS, generation=generation)
        )
        server.add(NoSuchMethod([SERVICE.full_name], log))
        await server.start()
        host = f"[{settings.host}]" if ":" in settings.host else settings.host
        await serve(server, settings, log, f"models: listening on {host}:{port}, {service.description}")


async def migrate() -> None:
    """Brings the database to this program's schema. Raises StartupError."""
    settings = load_settings(ModelsSettings)
    log = open_log("models", settings.log_level)
    location = await Database.migrate(settings.choose_database_url(), MIGRATIONS, log)
    announce(f"models: schema is up to date in {location}")


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="models",
        description=__doc__,
        epilog=ENVIRONMENT,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--migrate", action="store_true", help="bring the database to this program's schema, and end")
    arguments = parser.parse_args()
    run("models", migrate if arguments.migrate else start)


if __name__ == "__main__":
    main()
