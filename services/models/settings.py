"""The Model Service's settings."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Literal

from pydantic import Field, SecretStr, create_model

from services.access.settings import AccessSettings
from services.models.attempts.limits import MAX_ATTEMPTS
from services.models.capture.policy import NOTHING, CapturePolicy, read_policy
from services.models.capture.redaction import KINDS, Kind
from services.models.catalog.provider_registry import Account
from services.models.catalog.vendor import Vendor
from services.models.catalog.vendors import VENDORS
from services.models.ledger.store import MAX_TAG_KEYS, MAX_TAG_VALUES
from services.models.limits.estimate import ReservePolicy
from services.models.limits.limiter import UnpricedPolicy
from services.models.limits.opening import LimitSettings, StoreKind
from services.models.transport import egress
from services.models.transport.connector import Network
from services.models.transport.proxies import read_proxies
from services.models.transport.request_head import request_head
from services.models.transport.tls_trust import TlsTrust, check_trust
from services.shared import descriptors
from services.shared.channels import Addresses
from services.shared.database import sqlite_url
from services.shared.errors import StartupError
from services.shared.settings import is_loopback

_NOT_IN_IDENTIFIERS = re.compile(r"\W")


class ModelsSettings(AccessSettings):
    """The Model Service's settings, except the accounts at vendors, which `settings_with` adds."""

    vendors: ClassVar[Mapping[str, Vendor]] = {}

    port: int = Field(
        50053, ge=0, le=65535, validation_alias="MODELS_PORT", description="port to listen on, 0 for any free one"
    )
    admin_port: int | None = Field(
        None,
        ge=0,
        le=65535,
        validation_alias="MODELS_ADMIN_PORT",
        description="port of `/metrics`, `/livez` and `/readyz` over HTTP, 0 for any free one; none is open without it",
        json_schema_extra={"example": "50063"},
    )
    http_port: int | None = Field(
        None,
        ge=0,
        le=65535,
        validation_alias="MODELS_HTTP_PORT",
        description="port for clients of OpenAI's and Anthropic's APIs, over HTTP; none is open with 0",
        json_schema_extra={"default": "`50080`, where nothing else has it", "example": "50080"},
    )
    http_hosts: str = Field(
        "",
        validation_alias="MODELS_HTTP_HOSTS",
        description="host names by which clients reach that port, beside `localhost` and IP addresses, with commas"
        " between them; without `AUTH_MODE=required` other names are refused, because a web page could make one lead"
        " here",
        json_schema_extra={"example": "models.internal"},
    )
    http_origins: str = Field(
        "",
        validation_alias="MODELS_HTTP_ORIGINS",
        description="origins whose web pages may use that port, with commas between them, `*` for all; none without it",
        json_schema_extra={"example": "https://app.example.com"},
    )
    http_relays: str = Field(
        "127.0.0.1,::1",
        validation_alias="MODELS_HTTP_RELAYS",
        description="IP addresses of gateways and proxies that relay that port's connections and say in a PROXY header"
        " whose they are, with commas between them",
    )
    database_url: SecretStr | None = Field(
        None,
        validation_alias="MODELS_DATABASE_URL",
        description="database of models and prompts: `sqlite:///path` or `postgresql://user:password@host/database`",
        json_schema_extra={
            "default": "`models.db` in `GENAI_DATA_DIR`",
            "example": "postgresql://user:password@localhost/models",
        },
    )
    calls_database_url: SecretStr | None = Field(
        None,
        validation_alias="MODELS_CALLS_DATABASE_URL",
        description="database of the answers that are kept under a `request_id`, as `MODELS_DATABASE_URL`",
        json_schema_extra={
            "default": "`MODELS_DATABASE_URL` if that is PostgreSQL, else `calls.db` in `GENAI_DATA_DIR`",
            "example": "postgresql://user:password@localhost/models",
        },
    )
    capture: str = Field(
        "off",
        validation_alias="CAPTURE",
        description="chats whose content is kept, redacted, where their project says nothing else: `off`, `errors`,"
        " `sample:0.01` or `all`; a caller keeps a call out by the metadata `genai-capture: off`",
    )
    capture_redact: str = Field(
        ",".join(KINDS),
        validation_alias="CAPTURE_REDACT",
        description="what is taken out of content before it is kept, with commas between",
    )
    capture_days: float = Field(
        14,
        gt=0,
        le=3650,
        validation_alias="CAPTURE_DAYS",
        description="days for which content is kept",
    )
    capture_database_url: SecretStr | None = Field(
        None,
        validation_alias="CAPTURE_DATABASE_URL",
        description="database of captured content",
        json_schema_extra={
            "default": "`MODELS_DATABASE_URL` if that is PostgreSQL, else `capture.db` in `GENAI_DATA_DIR`",
            "example": "postgresql://user:password@localhost/models",
        },
    )
    usage_database_url: SecretStr | None = Field(
        None,
        validation_alias="USAGE_DATABASE_URL",
        description="database of the ledger, which has what each call has used and cost, as `MODELS_DATABASE_URL`",
        json_schema_extra={
            "default": "`MODELS_DATABASE_URL` if that is PostgreSQL, else `usage.db` in `GENAI_DATA_DIR`",
            "example": "postgresql://user:password@localhost/models",
        },
    )
    usage_outbox_max: int = Field(
        1024,
        ge=1,
        validation_alias="USAGE_OUTBOX_MAX",
        description="MiB of the ledger's files in `usage` in `GENAI_DATA_DIR`, which wait there while its database is"
        " away; beyond that chats are refused",
    )
    usage_fsync: Literal["0", "1"] = Field(
        "0",
        validation_alias="USAGE_FSYNC",
        description="`1` lets each answer wait until its record is on the disk, so that it survives a loss of power"
        " too",
    )
    usage_tag_keys: str = Field(
        "",
        validation_alias="USAGE_TAG_KEYS",
        description="tags of requests and keys by which usage is summed up, at most 5, with commas between them; of"
        f" each the first {MAX_TAG_VALUES:,} values",
        json_schema_extra={"example": "customer,feature"},
    )
    usage_event_days: int = Field(
        90,
        ge=1,
        le=36_500,
        validation_alias="USAGE_EVENT_DAYS",
        description="days for which the ledger keeps each call by itself; the sums by day stay",
    )
    retired_policy: Literal["replace", "reject"] = Field(
        "replace",
        validation_alias="MODELS_RETIRED_POLICY",
        description="models that their vendor has retired: `replace` them, with a warning, or `reject` their calls",
    )
    aliases: str = Field(
        "",
        validation_alias="MODELS_ALIASES",
        description="names of your own for models: `alias=model`, with commas between the entries",
        json_schema_extra={"example": "fast=gpt-4o-mini,smart=claude-opus-5"},
    )
    fallbacks: str = Field(
        "",
        validation_alias="MODELS_FALLBACKS",
        description="models that answer when another cannot: `model=fallback+fallback`, in the order in which they are"
        " tried, with commas between the entries. `fallback_models` of a request are tried before them",
        json_schema_extra={"example": "gpt-4o=claude-opus-5+local-llama,smart=fast"},
    )
    max_attempts: int = Field(
        MAX_ATTEMPTS,
        ge=1,
        le=MAX_ATTEMPTS,
        validation_alias="MODELS_MAX_ATTEMPTS",
        description="requests to models' servers for one chat, until its first output, 1 to 3: 1 tries nothing twice,"
        " and no fallback",
    )
    max_requests: str = Field(
        "",
        validation_alias="MODELS_MAX_REQUESTS",
        description="requests that may be in flight to a provider or for a model at a time, from each replica:"
        " `name=number`, with commas between the entries. Beyond that a fallback is tried, or the chat refused",
        json_schema_extra={"example": "openai=500,my-llama=16"},
    )
    timeouts: str = Field(
        "",
        validation_alias="MODELS_TIMEOUTS",
        description="timeouts of the requests to a provider or for a model: `name.clock=seconds`, with commas between"
        " the entries; the clocks are `connect`, `first_output`, `silence` and `total`. Those of a request win,"
        " then those of its model",
        json_schema_extra={"example": "openai.first_output=60,my-llama.silence=900"},
    )
    discovery: Literal["on", "off"] = Field(
        "on",
        validation_alias="MODELS_DISCOVERY",
        description="`on` asks the providers every hour which models they serve; `off` makes no call of its own",
    )
    sessions_address: Addresses = Field(
        "127.0.0.1:50052",
        validation_alias="SESSIONS_ADDRESS",
        description="`host:port` of the Session Service, or of several, as `MODELS_ADDRESS`",
    )
    allowed_endpoints: str | None = Field(
        None,
        validation_alias="MODELS_ALLOWED_ENDPOINTS",
        description="where registered models may be, beside public addresses: `private` (loopback and private ranges),"
        " `none`, addresses, networks such as `10.1.0.0/16`, host names, `*.domain`, with commas between them."
        " Link-local addresses and cloud metadata services are allowed only by an entry that names just them",
        json_schema_extra={
            "default": "`private` on a loopback `GENAI_HOST`, else `none`; for strangers `none`",
            "example": "10.1.0.0/16,*.models.svc.cluster.local",
        },
    )
    credentials_directory: Path | None = Field(
        None,
        validation_alias="MODELS_CREDENTIALS_DIR",
        description="the one directory of key files that a registration's `credential.file` may name; they are read at"
        " each use, so keys can be rotated",
        json_schema_extra={"example": "/run/secrets/genai"},
    )
    credentials: str = Field(
        "",
        validation_alias="MODELS_CREDENTIALS",
        description="the endpoints that a key may go to: `variable=URL` or `file:path=URL`, an entry for each endpoint,"
        " with commas between them. The key goes there and below, and nowhere else; strangers may name no other key",
        json_schema_extra={
            "example": "MY_LLAMA_API_KEY=https://llama.internal/v1,file:team/key=https://models.internal:8000/team/v1"
        },
    )
    overrides: Literal["allow", "refuse"] | None = Field(
        None,
        validation_alias="MODELS_OVERRIDES",
        description="whether a registration may take the name of a vendor's model, of an alias or of another"
        " registration, or remove one: `allow` or `refuse`, to everybody",
        json_schema_extra={"default": "`allow`, and `refuse` to strangers", "example": "allow"},
    )
    proxy: SecretStr | None = Field(
        None,
        validation_alias="MODELS_PROXY",
        description="the HTTP proxy of all connections to models' servers, `http://user:password@host:port`, or `none`;"
        " hosts in `NO_PROXY` are reached without it",
        json_schema_extra={
            "default": "`HTTPS_PROXY`, `HTTP_PROXY` and `ALL_PROXY`",
            "example": "http://proxy.internal:3128",
        },
    )
    ca_file: Path | None = Field(
        None,
        validation_alias="MODELS_CA_FILE",
        description="PEM file of certificate authorities that are trusted beside the system's, or beside those in"
        " `SSL_CERT_FILE` and `SSL_CERT_DIR`",
        json_schema_extra={"example": "/etc/ssl/company-ca.pem"},
    )
    limits_store: StoreKind | None = Field(
        None,
        validation_alias="LIMITS_STORE",
        description="where limits are kept: `memory` (of one process), `postgresql` or `redis` (which needs the extra"
        " `redis`), over all replicas",
        json_schema_extra={
            "default": "`postgresql` if `MODELS_DATABASE_URL` is one, else `memory`",
            "example": "redis",
        },
    )
    limits_database_url: SecretStr | None = Field(
        None,
        validation_alias="LIMITS_DATABASE_URL",
        description="PostgreSQL database of the limits, as `MODELS_DATABASE_URL`",
        json_schema_extra={
            "default": "`MODELS_DATABASE_URL`",
            "example": "postgresql://user:password@localhost/limits",
        },
    )
    limits_redis_url: SecretStr | None = Field(
        None,
        validation_alias="LIMITS_REDIS_URL",
        description="Redis server of the limits",
        json_schema_extra={"default": "none", "example": "redis://localhost:6379/0"},
    )
    limits_timezone: str = Field(
        "UTC",
        validation_alias="LIMITS_TIMEZONE",
        description="time zone of the days, weeks and months of budgets, such as `Europe/Berlin`",
    )
    limits_replicas: int = Field(
        1,
        ge=1,
        validation_alias="LIMITS_REPLICAS",
        description="replicas of the Model Service: while the store of the limits is away, each keeps its share",
    )
    limits_reserve: ReservePolicy = Field(
        "probable",
        validation_alias="LIMITS_RESERVE",
        description="what limits reserve for a call until its usage is known: what is `probable` by earlier answers, or"
        " the `worst` case",
    )
    limits_unpriced: UnpricedPolicy = Field(
        "refuse",
        validation_alias="LIMITS_UNPRICED",
        description="calls to models without a known price that a limit on money applies to: `refuse` or `allow`",
    )
    alert_webhook_url: SecretStr | None = Field(
        None,
        validation_alias="ALERT_WEBHOOK_URL",
        description="URL that is told of each soft percent of a budget, once in a window, by a POST of JSON",
        json_schema_extra={"default": "none", "example": "https://alerts.internal/genai"},
    )
    alert_webhook_key: SecretStr | None = Field(
        None,
        validation_alias="ALERT_WEBHOOK_KEY",
        description="key that signs what `ALERT_WEBHOOK_URL` is told: `x-genai-signature` is `sha256=` and the"
        " HMAC-SHA256 of the body in hex",
        json_schema_extra={"default": "none", "example": "a-long-random-text"},
    )
    max_connections: int | None = Field(
        None,
        ge=2,
        validation_alias="MODELS_MAX_CONNECTIONS",
        description="connections to models' servers at a time; one server gets as many as are left free",
        json_schema_extra={"default": "two thirds of what the limit of open files (`ulimit -Hn`) allows"},
    )

    def accounts(self) -> list[Account]:
        """The operator's accounts at all vendors, with and without a key."""
        return [self._account(vendor) for vendor in self.vendors.values()]

    def _account(self, vendor: Vendor) -> Account:
        key: SecretStr | None = getattr(self, _key_field(vendor))
        headers = {header: getattr(self, _header_field(vendor, header)) for header in vendor.header_variables}
        return Account(
            vendor,
            key.get_secret_value() if key else "",
            getattr(self, _url_field(vendor)),
            {header: value for header, value in headers.items() if value},
        )

    def choose_database_url(self) -> str:
        if self.database_url:
            return self.database_url.get_secret_value()
        return sqlite_url(self.data_path(), "models")

    def choose_calls_database_url(self) -> str:
        return self._choose_url(self.calls_database_url, "calls")

    def may_capture(self) -> bool:
        """Whether any content may be kept: by the operator's policy, or by that of a caller's project."""
        return self.read_capture_policy() != NOTHING or self.auth_mode == "required"

    def read_capture_policy(self) -> CapturePolicy:
        """The operator's policy of capture. Raises StartupError for a text that names none."""
        try:
            return read_policy(self.capture)
        except ValueError as error:
            raise StartupError(f"CAPTURE: {error}") from None

    def read_redacted_kinds(self) -> Sequence[Kind]:
        """The kinds that are taken out of captured content. Raises StartupError for another one."""
        named = {name.strip() for name in self.capture_redact.split(",") if name.strip()}
        if unknown := named.difference(KINDS):
            raise StartupError(f"CAPTURE_REDACT: {', '.join(sorted(unknown))}: must be of {', '.join(KINDS)}")
        return [kind for kind in KINDS if kind in named]

    def choose_capture_database_url(self) -> str:
        return self._choose_url(self.capture_database_url, "capture")

    def choose_usage_database_url(self) -> str:
        return self._choose_url(self.usage_database_url, "usage")

    def _choose_url(self, chosen: SecretStr | None, name: str) -> str:
        """The URL of a database of its own: the chosen one, else that of the models' PostgreSQL, else a file."""
        if chosen:
            return chosen.get_secret_value()
        shared = self.choose_database_url()
        return sqlite_url(self.data_path(), name) if shared.startswith("sqlite") else shared

    def read_usage_tag_keys(self) -> Sequence[str]:
        """The tags that have rollups of their own. Raises StartupError for more than there may be."""
        keys = list(dict.fromkeys(key.strip() for key in self.usage_tag_keys.split(",") if key.strip()))
        if len(keys) > MAX_TAG_KEYS:
            raise StartupError(f"USAGE_TAG_KEYS: {len(keys)} keys; at most {MAX_TAG_KEYS} can be counted")
        return keys

    def choose_limits_database_url(self) -> str:
        """The URL of the database of limits, which is used only if their store is PostgreSQL."""
        return self.limits_database_url.get_secret_value() if self.limits_database_url else self.choose_database_url()

    def choose_limits(self) -> LimitSettings:
        """The settings of limits."""
        database_url = self.choose_limits_database_url()
        return LimitSettings(
            self.limits_store or ("memory" if database_url.startswith("sqlite") else "postgresql"),
            database_url,
            self.limits_redis_url.get_secret_value() if self.limits_redis_url else "",
            self.limits_timezone,
            self.limits_replicas,
            self.limits_unpriced,
        )

    def choose_alert_webhook(self) -> tuple[str, str]:
        """The URL of the webhook, "" for none, and the key that signs. Raises StartupError for what is no URL."""
        url = self.alert_webhook_url.get_secret_value() if self.alert_webhook_url else ""
        key = self.alert_webhook_key.get_secret_value() if self.alert_webhook_key else ""
        try:
            if url:
                request_head("POST", url)
        except ValueError:
            raise StartupError("ALERT_WEBHOOK_URL: is no URL such as https://alerts.internal/genai") from None
        return url, key

    def choose_allowed_endpoints(self, *, by_stranger: bool) -> Sequence[str]:
        """The entries of the `EndpointPolicy` of registrations by strangers, or by the operator.

        Without the setting, a server that listens on loopback may connect to its machine and networks for its operator.
        A server that others can reach may not, and none may for strangers.
        """
        if self.allowed_endpoints is not None:
            return self.allowed_endpoints.split(",")
        return [egress.PRIVATE if is_loopback(self.host) and not by_stranger else egress.NONE]

    def choose_network(self) -> Network:
        """The proxies and authorities of this service's settings and of the environment. Raises StartupError."""
        ca_file = self.ca_file.expanduser().absolute() if self.ca_file else None
        check_trust(os.environ, ca_file)
        setting = self.proxy.get_secret_value() if self.proxy else ""
        return Network(read_proxies(os.environ, setting), TlsTrust(ca_file))

    def choose_max_connections(self) -> int:
        """The limit for connections to providers. Raises StartupError when the process has too few descriptors for
        it."""
        possible = descriptors.connection_limit()
        if self.max_connections is None:
            return possible * 2 // 3
        if self.max_connections > possible:
            raise StartupError(
                f"MODELS_MAX_CONNECTIONS: {descriptors.limit()} open files leave room for {possible} connections;"
                " lower it, or raise the hard limit of open files (ulimit -Hn)"
            )
        return self.max_connections

    def choose_credentials_directory(self) -> Path | None:
        """The directory of key files, if one is set. Raises StartupError if it is not a directory."""
        if self.credentials_directory is None:
            return None
        directory = self.credentials_directory.expanduser().absolute()
        if not directory.is_dir():
            raise StartupError(f"MODELS_CREDENTIALS_DIR: {directory} is no directory")
        return directory


def settings_with(vendors: Mapping[str, Vendor]) -> type[ModelsSettings]:
    """The settings with those of the accounts at these vendors, under the variables that the vendors' rows name."""
    fields: dict[str, Any] = {}
    for vendor in vendors.values():
        fields |= _account_fields(vendor)
    settings = create_model("ModelsSettings", __base__=ModelsSettings, __doc__=ModelsSettings.__doc__, **fields)
    settings.vendors = vendors
    return settings


def _account_fields(vendor: Vendor) -> dict[str, Any]:
    title = vendor.title
    key = Field(
        None,
        validation_alias=vendor.key_variable,
        description=f"key of {title}, which is configured by it",
        json_schema_extra={"example": "sk-..."},
    )
    url = Field(
        vendor.base_url,
        validation_alias=vendor.url_variable,
        description=f"base URL of {title}, or of another server in its place; with a version path or without",
    )
    fields: dict[str, Any] = {_key_field(vendor): (SecretStr | None, key), _url_field(vendor): (str, url)}
    for header, variable in vendor.header_variables.items():
        description = f"header `{header}` of calls to {title}"
        fields[_header_field(vendor, header)] = (str, Field("", validation_alias=variable, description=description))
    return fields


def _key_field(vendor: Vendor) -> str:
    return f"{_identifier(vendor.name)}_api_key"


def _url_field(vendor: Vendor) -> str:
    return f"{_identifier(vendor.name)}_base_url"


def _header_field(vendor: Vendor, header: str) -> str:
    return _identifier(f"{vendor.name}_{header}")


def _identifier(name: str) -> str:
    return _NOT_IN_IDENTIFIERS.sub("_", name)


Settings = settings_with(VENDORS)
"""The settings with the accounts at all vendors of the table."""
