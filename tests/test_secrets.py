"""Planted secrets go through real flows and are then looked for: in the logs, in every table, in every repr."""

from __future__ import annotations

import base64
import io
import logging
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
import structlog
from psycopg import sql
from sqlalchemy import text

from config import log
from config.settings import Settings, from_environment
from connectors import registry
from connectors.base import Authorization, Credentials
from core.connections import sealing
from core.connections.sealing import KeyRing
from core.database import Database
from core.identity import Role, passwords, users
from tests.webapp.conftest import Reply, World, make_world
from webapp.admission import Inlet
from webapp.api import models
from workers import context, fetch, normalize
from workers.simulators.basiq import DEMO_USER, Simulator
from workers.simulators.sending import Changes, build_delivery

SECRET_KEY = "planted-secret-key-of-this-installation"
OLD_MASTER = base64.b64encode(b"planted-old-master-key-32-bytes!").decode()
NEW_MASTER = base64.b64encode(b"planted-new-master-key-32-bytes!").decode()
PLATFORM_SECRET = "planted-platform-secret-of-razorpay"
PASSWORD = "planted-password-of-a-person"
NEW_PASSWORD = "planted-password-that-is-wrong"
API_KEY = base64.b64encode(b"planted-application:planted-api-key").decode()
WEBHOOK_SECRET = "whsec_" + base64.b64encode(b"planted webhook secret, 32 bytes").decode()
NEXT_SECRET = "whsec_" + base64.b64encode(b"planted webhook secret, the next").decode()


@dataclass(slots=True)
class Planted:
    """What must not be found, each under a name that says which one leaked."""

    words: dict[str, str] = field(default_factory=dict)

    def add(self, name: str, word: str) -> str:
        assert len(word) >= 16, "too short to be looked for"
        self.words[name] = word
        return word

    def found_in(self, haystack: str) -> list[str]:
        """Names of the secrets that stand there in plain, or as hexadecimal or base64 of them."""
        small = haystack.lower()
        leaked = []
        for name, word in self.words.items():
            spellings = {word, word.encode().hex(), base64.b64encode(word.encode()).decode().rstrip("=")}
            try:
                raw = base64.b64decode(word.removeprefix("whsec_"), validate=True)
                spellings |= {raw.hex(), word.removeprefix("whsec_").rstrip("=")}
            except ValueError:
                pass
            leaked += [name for spelling in spellings if spelling.lower() in small]
        return leaked


def dump(database: Database) -> str:
    """Every column of every row of every table as text; binary columns as hexadecimal."""
    with database.connect() as connection:
        tables = connection.scalars(
            text(
                "SELECT oid::regclass::text FROM pg_class WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace"
            )
        ).all()
        assert len(tables) > 50
        rows = [
            row
            for table in tables
            for row in connection.scalars(text(sql.SQL("SELECT t::text FROM {} t").format(sql.SQL(table)).as_string()))
        ]
    return "\n".join(rows)


@pytest.fixture
def restored_logging() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    levels = {name: logging.getLogger(name).level for name in ("werkzeug", "geventwebsocket.handler", "alembic")}
    levels |= {name: logging.getLogger(name).level for name in ("engineio.server", "socketio.server")}
    configured, known = structlog.is_configured(), structlog.get_config()
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    for name, before in levels.items():
        logging.getLogger(name).setLevel(before)
    structlog.configure(**known)
    if not configured:
        structlog.reset_defaults()


def installation(database_url: str, redis_url: str, folder: Path, **more: str) -> Settings:
    return from_environment(
        {
            "DATABASE_URL": database_url,
            "REDIS_URL": redis_url,
            "DATA_DIR": str(folder),
            "SECRET_KEY": SECRET_KEY,
            "MASTER_KEYS": f"old:{OLD_MASTER}",
            "RAZORPAY_WEBHOOK_SECRET": PLATFORM_SECRET,
            "LOG_LEVEL": "DEBUG",
            **more,
        }
    )


def done(reply: Reply, status: int) -> Any:
    assert reply.status == status, reply.body
    return reply.body


def sign_in(world: World, planted: Planted, who: str, email: str) -> dict[str, str]:
    """Sign in with a password, wrongly first, and trade the refresh token; returns the headers to ask with."""
    done(world.post("/api/auth/login", json={"email": email, "password": NEW_PASSWORD}), 401)
    pair = done(world.post("/api/auth/login", json={"email": email, "password": PASSWORD}), 200)
    traded = done(world.post("/api/auth/refresh", json={"refresh_token": pair["refresh_token"]}), 200)
    for name, tokens in (("first", pair), ("second", traded)):
        planted.add(f"{name} refresh token of the {who}", tokens["refresh_token"])
        planted.add(f"{name} access token of the {who}", tokens["access_token"])
    # A body that cannot be read, and one with a password where none belongs.
    world.ask("POST", "/api/auth/login", data=f'{{"email": "x", "password": "{PASSWORD}"', content_type="text/plain")
    world.post("/api/auth/login", json={"email": [PASSWORD], "password": {"deep": PASSWORD}})
    return {"Authorization": f"Bearer {traded['access_token']}"}


def connect(world: World, planted: Planted, headers: Mapping[str, str], api_base: str) -> dict[str, Any]:
    """Connect providers by the API, repeating a request, and rotate a secret."""

    def post(key: str, body: dict[str, Any]) -> Reply:
        return world.ask("POST", "/api/connections", json=body, headers={**headers, "Idempotency-Key": key})

    made: dict[str, Any] = {}
    for slug, secrets, settings in (
        ("basiq", {"webhook_secret": WEBHOOK_SECRET, "api_key": API_KEY}, {"api_base": api_base, "user_id": DEMO_USER}),
        ("standard_webhooks", {}, {}),
    ):
        body = {"connector": slug, "name": slug, "secrets": secrets, "settings": settings}
        made[slug] = done(post(slug, body), 201)
        # The answer is kept for a repeat, and it may hold a secret that was made for this connection.
        assert done(post(slug, body), 201) == made[slug]
    planted.add("webhook secret we made", made["standard_webhooks"]["new_secrets"]["webhook_secret"])
    post("bad", {"connector": "basiq", "name": "x", "secrets": {"webhook_secret": API_KEY, "nonsense": API_KEY}})
    path = f"/api/connections/{made['basiq']['id']}"
    done(world.ask("PUT", path, json={"secrets": {"webhook_secret": NEXT_SECRET}}, headers=dict(headers)), 200)
    return made


def deliver(world: World, made: Mapping[str, Any]) -> None:
    """Webhooks with good and bad signatures."""
    basiq = registry.get("basiq")
    path = f"/api/connectors/basiq/webhook/{made['id']}"
    for place, (secret, status) in enumerate(
        [(WEBHOOK_SECRET, 200), (NEXT_SECRET, 200), (NEXT_SECRET, 200), (basiq.signature.new_secret(), 401)]
    ):
        headers, body = build_delivery(
            basiq,
            "transactions.updated",
            secret=secret,
            at=datetime.now(UTC),
            message_id=f"msg_{place}",
            changes=Changes(external_id=DEMO_USER),
        )
        sent = {**headers, "Authorization": f"Bearer {API_KEY}", "Cookie": f"a={PASSWORD}"}
        done(world.ask("POST", path, data=body, headers=sent), status)
    done(world.ask("POST", "/api/connectors/razorpay/webhook", data=b"{}"), 401)


@pytest.mark.usefixtures("restored_logging")
@pytest.mark.parametrize("log_format", ["json", "console"])
def test_no_planted_secret_is_in_the_logs_or_in_any_table(
    log_format: str, database_url: str, redis_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = installation(database_url, redis_url, tmp_path, LOG_FORMAT=log_format)
    stream = io.StringIO()
    monkeypatch.setattr(sys, "stderr", stream)
    log.configure(settings, "web")
    # A logger that remembers this configuration would trouble later tests.
    structlog.configure(cache_logger_on_first_use=False)
    planted = Planted()
    for name, word in (
        ("SECRET_KEY", SECRET_KEY),
        ("old master key", OLD_MASTER),
        ("new master key", NEW_MASTER),
        ("platform secret", PLATFORM_SECRET),
        ("password", PASSWORD),
        ("wrong password", NEW_PASSWORD),
        ("api key", API_KEY),
        ("webhook secret", WEBHOOK_SECRET),
        ("next webhook secret", NEXT_SECRET),
    ):
        planted.add(name, word)
    world = make_world(settings)
    parts = context.make(settings)
    try:
        with parts.database.session() as session:
            users.register(
                session,
                email="operator@example.com",
                name="Olga",
                password_hash=passwords.hash_password(PASSWORD),
                role=Role.OPERATOR,
                now=datetime.now(UTC),
            )
        account = {"email": "planter@example.com", "name": "Asha", "password": PASSWORD}
        done(world.post("/api/auth/register", json=account), 201)
        seller = sign_in(world, planted, "seller", "planter@example.com")
        operator = sign_in(world, planted, "operator", "operator@example.com")
        token = world.ask(
            "POST", "/api/service-tokens", json={"name": "books"}, headers={**operator, "Idempotency-Key": "one"}
        )
        planted.add("service token", done(token, 201)["token"])
        with Simulator(api_key=API_KEY) as provider:
            made = connect(world, planted, seller, provider.base_url)
            deliver(world, made["basiq"])
            # The provider is busy, then refuses us, then answers.
            provider.fail_next(503, retry_after="600")
            while normalize.drain(parts):
                pass
            fetch.drain(parts)
            provider.fail_next(401)
            while fetch.drain(parts):
                pass
            assert len(provider.requests) > 3
        rotated = KeyRing.parse(f"new:{NEW_MASTER},old:{OLD_MASTER}")
        with parts.database.session() as session:
            assert sealing.rotate(session, rotated) >= 4
        everything = dump(parts.database)
    finally:
        inlet: Inlet = world.app.extensions["ledgerwire.inlet"]
        inlet.committer.close()
        world.parts.database.dispose()
        parts.database.dispose()
    logged = stream.getvalue()
    # What must be there is there: the search does not look at nothing.
    assert "delivery refused" in logged
    assert "urllib3" in logged
    assert "planter@example.com" in everything
    assert b'"transactions.updated"'.hex() in everything
    assert planted.found_in(logged) == []
    assert planted.found_in(everything) == []


@pytest.mark.usefixtures("restored_logging")
@pytest.mark.parametrize("log_format", ["json", "console"])
def test_a_value_named_like_a_secret_is_hidden_in_every_log_line(
    log_format: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stream = io.StringIO()
    monkeypatch.setattr(sys, "stderr", stream)
    log.configure(installation("postgresql://x@localhost/x", "redis://localhost", tmp_path, LOG_FORMAT=log_format), "w")
    structlog.configure(cache_logger_on_first_use=False)
    lines = structlog.get_logger("tests.secrets")
    lines.info("one", password=PASSWORD, inner={"api_key": API_KEY, "list": [{"webhook_secret": WEBHOOK_SECRET}]})
    logging.getLogger("tests.secrets").warning("two", extra={"authorization": PASSWORD, "inner": {"token": API_KEY}})
    try:
        raise_with_locals(PASSWORD)
    except ValueError:
        lines.exception("three")
        logging.getLogger("tests.secrets").exception("four")
    logged = stream.getvalue()
    assert all(word in logged for word in ("one", "two", "three", "four", "ValueError"))
    assert Planted({"password": PASSWORD, "key": API_KEY, "webhook": WEBHOOK_SECRET}).found_in(logged) == []


def raise_with_locals(secret: str) -> None:
    held = [secret]
    raise ValueError(f"a failure among {len(held)} locals")


def test_no_repr_shows_a_secret(database_url: str, redis_url: str, tmp_path: Path) -> None:
    settings = installation(database_url, redis_url, tmp_path)
    world = make_world(settings)
    parts = context.make(settings)
    person = world.person(Role.SELLER)
    basiq = {
        "connector": "basiq",
        "name": "Bank",
        "secrets": {"webhook_secret": WEBHOOK_SECRET, "api_key": API_KEY},
        "settings": {"user_id": DEMO_USER},
    }
    made = done(world.post("/api/connections", person, json=basiq), 201)
    inlet: Inlet = world.app.extensions["ledgerwire.inlet"]
    endpoint = inlet.directory.by_id(UUID(made["id"]))
    assert endpoint is not None
    assert endpoint.secrets == (WEBHOOK_SECRET,)
    shown = [
        settings,
        parts.ring,
        endpoint,
        world.parts,
        world.parts.signing,
        parts,
        Credentials(secrets={"api_key": API_KEY}, settings={}, external_id=None),
        Authorization(headers={"Authorization": API_KEY}, expires_in_seconds=1),
        models.LoginInput.model_validate({"email": "a@b.c", "password": PASSWORD}),
        models.ConnectionInput.model_validate(basiq),
        world.app.extensions,
    ]
    planted = Planted(
        {
            "SECRET_KEY": SECRET_KEY,
            "master key": OLD_MASTER,
            "raw master key": "planted-old-master-key-32-bytes!",
            "platform secret": PLATFORM_SECRET,
            "password": PASSWORD,
            "api key": API_KEY,
            "webhook secret": WEBHOOK_SECRET,
        }
    )
    leaks = {type(value).__name__: planted.found_in(f"{value!r} {value}") for value in shown}
    assert {name: found for name, found in leaks.items() if found} == {}
    inlet.committer.close()
    world.parts.database.dispose()
    parts.database.dispose()


def test_settings_do_not_show_the_passwords_of_our_servers(tmp_path: Path) -> None:
    settings = installation("postgresql://us:planted-dbpass@h/n", "redis://:planted-redispass@h", tmp_path)
    assert "planted" not in repr(settings)
    assert "planted" not in str(settings)
