"""Every setting of the installation, read once from the environment into one frozen object.

`load()` is the only place that looks at the environment. A value that cannot be used raises
`InvalidSettings` with one line per variable, each naming the variable and what it must be.
"""

from __future__ import annotations

import base64
import binascii
import os
from collections.abc import Mapping
from datetime import date
from email.utils import parseaddr
from functools import lru_cache
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

from pydantic import Field, SecretStr, ValidationError, field_validator, model_validator
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

AsyncMode = Literal["eventlet", "gevent", "threading"]


class InvalidSettings(Exception):
    """The environment holds a value that cannot be used; the message names each variable."""


class Settings(BaseSettings):
    """All settings. The environment variable of a field is its name in capitals."""

    model_config = SettingsConfigDict(frozen=True, extra="ignore", env_prefix="", case_sensitive=False)

    # Where things are. An address may hold a password, so that a repr leaves it out.
    database_url: str | None = Field(
        None,
        repr=False,
        description="PostgreSQL 15+ address, postgresql://user:password@host/name. Empty: embedded.",
    )
    redis_url: str | None = Field(
        None, repr=False, description="Redis or Valkey address, redis://, rediss:// or unix://. Empty: embedded."
    )
    database_name: str = Field(
        "ledgerwire", pattern=r"^[a-z_][a-z0-9_]{0,62}$", description="Database of the embedded PostgreSQL."
    )
    data_dir: Path = Field(Path("var"), description="Folder of the embedded servers, keys and logs.")
    host: str = Field("127.0.0.1", description="Address that web listens on.")
    port: int = Field(5000, ge=1, le=65535, description="Port that web listens on.")
    ingress_port: int = Field(5001, ge=1, le=65535, description="Port that an ingress listens on.")
    public_url: str | None = Field(
        None, description="Address under which providers and browsers reach this installation."
    )
    trusted_proxies: int = Field(0, ge=0, le=10, description="How many reverse proxies in front set X-Forwarded-For.")

    # How it runs.
    async_mode: AsyncMode = Field("eventlet", description="Runtime of web: eventlet, gevent or threading.")
    demo_mode: bool = Field(True, description="Demo accounts and demo money. Switch off in production.")
    allow_local_providers: bool | None = Field(
        None, description="Let provider addresses be loopback or private. Empty: as DEMO_MODE says."
    )
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = Field("INFO", description="Least severe line logged.")
    log_format: Literal["console", "json"] = Field("console", description="How log lines look.")
    database_pool_size: int = Field(10, ge=1, le=1000, description="Connections kept per process.")
    worker_processes: int = Field(2, ge=1, le=64, description="Processes of one Celery worker.")

    # The marketplace.
    settlement: Literal["instant", "t1"] = Field(
        "instant", description="When an accepted financing moves money: instant, or t1 for the next working day."
    )
    bank_holidays: str = Field(
        "",
        description="Days on which banks rest beside weekends and the national holidays: 2026-11-05,2026-12-25.",
    )
    ledger_conformance: bool = Field(
        False,
        description="Offer the ledger's conformance endpoints; only when the database's name contains 'scratch'.",
    )

    # Mail.
    smtp_url: SecretStr | None = Field(
        None,
        description="Server that mail is sent by: smtp://user:password@host:587 (STARTTLS when offered) or smtps://. "
        "Empty: mails are kept, and shown on the page Mailbox in demo mode.",
    )
    mail_from: str = Field("Ledgerwire <ledgerwire@localhost>", description="Sender of the mails.")

    # Secrets.
    secret_key: SecretStr | None = Field(
        None,
        description="Signs cookies and access tokens, at least 32 characters. Empty: made under DATA_DIR.",
    )
    master_keys: SecretStr | None = Field(
        None,
        description="Key ring that seals secrets: id:base64 of 32 bytes, comma-separated, newest first. "
        "Empty: made under DATA_DIR.",
    )

    # Limits.
    webhook_max_bytes: int = Field(1_048_576, ge=1024, le=16_777_216, description="Largest webhook body, bytes.")
    webhook_rate_per_second: int = Field(
        5000, ge=1, description="Webhooks a second one process takes before it answers 429."
    )
    webhook_queue_limit: int = Field(
        2000, ge=1, description="Webhooks that may wait for one commit before 503 is answered."
    )
    quarantine_max_rows: int = Field(10_000, ge=0, description="Refused deliveries that are kept, newest.")
    quarantine_max_body: int = Field(65_536, ge=0, description="Largest refused body that is kept, bytes.")
    access_token_seconds: int = Field(900, ge=60, le=86_400, description="Life of an access token, seconds.")
    refresh_token_seconds: int = Field(2_592_000, ge=3600, description="Life of a refresh token, seconds.")
    session_seconds: int = Field(1_209_600, ge=600, description="Life of a page session, seconds.")
    lease_seconds: int = Field(60, ge=1, le=3600, description="Time a worker may hold an event, seconds.")
    max_attempts: int = Field(12, ge=1, le=100, description="Tries before an event is parked as dead.")

    rates_url: str | None = Field(
        None,
        pattern=r"^https?://",
        description="Where the European Central Bank's reference rates are fetched: eurofxref-daily.xml lies below it. "
        "Empty: the bank's own address, and in a demo made-up rates of this installation.",
    )

    # What providers set: <SLUG>_WEBHOOK_SECRET and <SLUG>_API_BASE, kept apart because the slugs are open.
    provider_secrets: Mapping[str, tuple[SecretStr, ...]] = Field(default_factory=dict, exclude=True)
    provider_api_bases: Mapping[str, str] = Field(default_factory=dict, exclude=True)

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Take values from `load()` alone, so that a test's environment is the one it passes."""
        return (init_settings,)

    @field_validator("database_url")
    @classmethod
    def _postgres_only(cls, value: str | None) -> str | None:
        if value is not None and not value.startswith(("postgresql://", "postgres://", "postgresql+psycopg://")):
            raise ValueError("must start with postgresql://")
        return value

    @field_validator("redis_url")
    @classmethod
    def _redis_only(cls, value: str | None) -> str | None:
        if value is not None and not value.startswith(("redis://", "rediss://", "unix://")):
            raise ValueError("must start with redis://, rediss:// or unix://")
        return value

    @field_validator("smtp_url")
    @classmethod
    def _a_mail_server(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None:
            parts = urlsplit(value.get_secret_value())
            try:
                usable = parts.scheme in {"smtp", "smtps"} and bool(parts.hostname) and parts.port != 0
            except ValueError:
                usable = False
            if not usable:
                # From None, and without the address: it holds a password.
                raise ValueError("must be smtp://host:port or smtps://host:port, with user:password@ if needed")
        return value

    @field_validator("mail_from")
    @classmethod
    def _a_sender(cls, value: str) -> str:
        local, at, host = parseaddr(value)[1].rpartition("@")
        if not (local and at and host) or not value.isprintable():
            raise ValueError("must be an address such as Ledgerwire <mail@example.com>")
        return value

    @field_validator("secret_key")
    @classmethod
    def _long_enough(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None and len(value.get_secret_value()) < 32:
            raise ValueError("must have at least 32 characters")
        return value

    @field_validator("bank_holidays")
    @classmethod
    def _days(cls, value: str) -> str:
        for entry in filter(None, (part.strip() for part in value.split(","))):
            try:
                date.fromisoformat(entry)
            except ValueError:
                raise ValueError(f"{entry[:20]!r} is not a day such as 2026-12-25") from None
        return value

    @field_validator("master_keys")
    @classmethod
    def _a_key_ring(cls, value: SecretStr | None) -> SecretStr | None:
        for entry in value.get_secret_value().split(",") if value is not None else ():
            name, _, key = entry.strip().partition(":")
            try:
                usable = bool(name) and len(base64.b64decode(key, validate=True)) == 32
            except binascii.Error:
                usable = False
            if not usable:
                # From None, and without the entry: it is a secret.
                raise ValueError("must be id:base64 of 32 bytes, comma-separated") from None
        return value

    @model_validator(mode="after")
    def _production_has_keys(self) -> Settings:
        if not self.demo_mode and self.database_url and (self.secret_key is None or self.master_keys is None):
            raise ValueError("with DEMO_MODE=0 and a DATABASE_URL, SECRET_KEY and MASTER_KEYS must be set")
        return self

    @property
    def sqlalchemy_url(self) -> str:
        """`database_url` with the driver SQLAlchemy needs. Raises InvalidSettings when it is not set."""
        if self.database_url is None:
            raise InvalidSettings("DATABASE_URL: not set, and no embedded PostgreSQL was started")
        return "postgresql+psycopg://" + self.database_url.split("://", 1)[1]

    @property
    def libpq_url(self) -> str:
        """`database_url` in the form psycopg and libpq take."""
        return "postgresql://" + self.sqlalchemy_url.split("://", 1)[1]

    @property
    def celery_broker_url(self) -> str:
        """`redis_url` in the form Celery takes (a unix socket is spelt redis+socket://)."""
        url = self.required_redis_url
        return "redis+socket://" + url.removeprefix("unix://") if url.startswith("unix://") else url

    @property
    def required_redis_url(self) -> str:
        """`redis_url`. Raises InvalidSettings when it is not set."""
        if self.redis_url is None:
            raise InvalidSettings("REDIS_URL: not set, and no embedded Valkey was started")
        return self.redis_url

    @property
    def holidays(self) -> frozenset[date]:
        """`bank_holidays` as days."""
        return frozenset(date.fromisoformat(part.strip()) for part in self.bank_holidays.split(",") if part.strip())

    @property
    def base_url(self) -> str:
        """Address of this installation without a trailing slash."""
        return (self.public_url or f"http://{self.host}:{self.port}").rstrip("/")

    @property
    def local_providers_allowed(self) -> bool:
        """Whether a provider's address may be loopback or private."""
        return self.demo_mode if self.allow_local_providers is None else self.allow_local_providers

    @property
    def rates_base(self) -> str:
        """Where exchange rates are fetched, without a slash at its end."""
        own = f"{self.base_url}/simulated/ecb" if self.demo_mode else ECB
        return (self.rates_url or own).rstrip("/")

    @property
    def conformance(self) -> bool:
        """Whether the ledger's conformance endpoints are offered: asked for, on a database that says it is scratch."""
        return self.ledger_conformance and "scratch" in urlsplit(self.database_url or "").path

    def webhook_secrets(self, slug: str) -> tuple[str, ...]:
        """Platform-wide webhook secrets of a connector, newest first; several while rotating."""
        return tuple(secret.get_secret_value() for secret in self.provider_secrets.get(slug, ()))

    def api_base(self, slug: str) -> str | None:
        """`<SLUG>_API_BASE`, or None when the connector's own address holds."""
        return self.provider_api_bases.get(slug)


# https://www.ecb.europa.eu/stats/policy_and_exchange_rates/euro_reference_exchange_rates, checked 2026-11.
ECB = "https://www.ecb.europa.eu/stats/eurofxref"
_SECRET_SUFFIX = "_WEBHOOK_SECRET"  # noqa: S105 - a name, not a secret
_BASE_SUFFIX = "_API_BASE"


def from_environment(environment: Mapping[str, str]) -> Settings:
    """Build the settings from a mapping of variables. Raises InvalidSettings naming each bad one."""
    # An empty variable means "not set": that is how compose files and .env files spell it.
    given = {name.upper(): value for name, value in environment.items() if value.strip()}
    values: dict[str, object] = {
        field: given[field.upper()]
        for field in Settings.model_fields
        if field.upper() in given and not field.startswith("provider_")
    }
    values["provider_secrets"] = {
        name.removesuffix(_SECRET_SUFFIX).lower(): tuple(
            SecretStr(part.strip()) for part in value.split(",") if part.strip()
        )
        for name, value in given.items()
        if name.endswith(_SECRET_SUFFIX)
    }
    values["provider_api_bases"] = {
        name.removesuffix(_BASE_SUFFIX).lower(): value.rstrip("/")
        for name, value in given.items()
        if name.endswith(_BASE_SUFFIX)
    }
    try:
        return Settings(**values)  # type: ignore[arg-type]
    except ValidationError as error:
        # Never `error` itself: it prints the values, and some of them are secrets.
        lines = [
            f"{'.'.join(str(part) for part in problem['loc']).upper() or 'SETTINGS'}: {problem['msg']}"
            for problem in error.errors(include_input=False, include_url=False)
        ]
        raise InvalidSettings("\n".join(lines)) from None


@lru_cache(maxsize=1)
def load() -> Settings:
    """The settings of this process, read from the environment on the first call."""
    return from_environment(os.environ)
