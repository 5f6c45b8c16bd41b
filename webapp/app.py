"""The Flask application: `create_app`."""

from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any, Literal
from uuid import UUID

from flask import Flask, Response, request
from flask.json.provider import DefaultJSONProvider
from werkzeug.middleware.proxy_fix import ProxyFix

from config.settings import Settings
from core.connections.sealing import KeyRing
from core.database import Database
from core.files import Cabinet
from core.identity.tokens import Signing
from core.marketplace import rules
from core.marketplace.confirmations import Notary
from webapp import api, auth, limits, problems, uploads, webhooks
from webapp.services import EXTENSION, Services, services

__all__ = ["Services", "create_app", "services"]

MAX_BODY_BYTES = 1_048_576
_CSP = (
    "default-src 'self'; img-src 'self' data:; object-src 'none'; base-uri 'none'; form-action 'self'; "
    "frame-ancestors 'none'"
)
_YEAR_SECONDS = 31_536_000
# The conformance suite sends 500 requests at once, and a pool that made them queue would make a race check pass for the
# wrong reason. All are kept: a new connection to PostgreSQL costs more than a posting.
_CONFORMANCE_POOL = 540


class _Json(DefaultJSONProvider):
    """ISO 8601 times in UTC, decimals and ids as text."""

    sort_keys = False

    @staticmethod
    def default(value: Any) -> Any:
        """Spell what JSON has no word for."""
        if isinstance(value, datetime):
            return value.astimezone(UTC).isoformat()
        if isinstance(value, date):
            return value.isoformat()
        if isinstance(value, Decimal | UUID):
            return str(value)
        raise TypeError(f"{type(value).__name__} has no JSON form")


def create_app(
    settings: Settings, *, database: Database | None = None, role: Literal["web", "ingress"] = "web"
) -> Flask:
    """Build the application. `ingress` takes webhooks and answers health checks, and nothing else."""
    if settings.secret_key is None or settings.master_keys is None:
        raise ValueError("SECRET_KEY and MASTER_KEYS must be set; `ledgerwire up` makes them under DATA_DIR")
    app = Flask("webapp", static_folder="static" if role == "web" else None)
    app.json = _Json(app)
    secret = settings.secret_key.get_secret_value()
    ring = KeyRing.parse(settings.master_keys.get_secret_value())
    parts = Services(
        settings=settings,
        database=database
        or Database(
            settings.sqlalchemy_url,
            pool_size=_CONFORMANCE_POOL if settings.conformance else settings.database_pool_size,
            overflow=0 if settings.conformance else None,
            application_name=f"ledgerwire-{role}",
        ),
        role=role,
        ring=ring,
        cabinet=Cabinet(settings.data_dir / "files", ring),
        notary=Notary.of(secret),
        rules=rules.of(settings),
        signing=Signing(
            key=secret,
            access_seconds=settings.access_token_seconds,
            refresh_seconds=settings.refresh_token_seconds,
        ),
    )
    app.extensions[EXTENSION] = parts
    app.config.update(
        SECRET_KEY=secret,
        MAX_CONTENT_LENGTH=MAX_BODY_BYTES,
        SESSION_COOKIE_NAME="ledgerwire_form",
        SESSION_COOKIE_HTTPONLY=True,
        SESSION_COOKIE_SAMESITE="Lax",
        SESSION_COOKIE_SECURE=parts.secure,
        PROPAGATE_EXCEPTIONS=False,
    )
    if settings.trusted_proxies:
        hops = settings.trusted_proxies
        app.wsgi_app = ProxyFix(app.wsgi_app, x_for=hops, x_proto=hops, x_host=hops)  # type: ignore[method-assign]
    problems.install(app)
    app.before_request(_refuse_nul)
    app.after_request(_protect)
    app.register_blueprint(webhooks.blueprint)
    if role == "web":
        from webapp import pages, sockets  # noqa: PLC0415 - an ingress carries neither templates nor Socket.IO.

        limits.install(app, settings)
        uploads.install(app)
        auth.install(app)
        api.install(app)
        app.register_blueprint(pages.blueprint)
        sockets.install(app, parts)
        if settings.demo_mode and settings.local_providers_allowed:
            from webapp import simulated  # noqa: PLC0415 - elsewhere there is nothing to play.

            app.register_blueprint(simulated.blueprint)
        if settings.conformance:
            from webapp import conformance  # noqa: PLC0415 - elsewhere it does not exist.

            app.register_blueprint(conformance.blueprint)
    else:
        api.install_health(app)
    return app


def _refuse_nul() -> None:
    # PostgreSQL has no place for NUL in text, and nothing honest has one in an address.
    if "\x00" in request.path or "%00" in request.environ.get("QUERY_STRING", ""):
        raise problems.BadRequest("the address holds a NUL character")


def _protect(response: Response) -> Response:
    headers = response.headers
    headers.setdefault("Content-Security-Policy", _CSP)
    headers.setdefault("X-Content-Type-Options", "nosniff")
    headers.setdefault("Referrer-Policy", "same-origin")
    headers.setdefault("Cross-Origin-Opener-Policy", "same-origin")
    headers.setdefault("Permissions-Policy", "camera=(), geolocation=(), microphone=()")
    if services().secure:
        headers.setdefault("Strict-Transport-Security", f"max-age={_YEAR_SECONDS}")
    if request.endpoint != "static":
        # Everything else is somebody's, and belongs in no cache.
        headers.setdefault("Cache-Control", "no-store")
    return response
