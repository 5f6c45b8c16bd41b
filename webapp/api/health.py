"""/api/health (how things are), /api/health/ready (whether requests can be served), /metrics (Prometheus)."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from functools import lru_cache
from importlib.resources import files

import psutil
from flask import Blueprint, Response
from prometheus_client import CONTENT_TYPE_LATEST, Gauge, generate_latest
from sqlalchemy import text
from sqlalchemy.exc import SQLAlchemyError

import config
from core.inbox.queries import backlog
from core.ledger import chain, clearing_clock
from webapp.api import models
from webapp.api.edge import reply
from webapp.openapi import operation
from webapp.problems import problem
from webapp.services import services

blueprint = Blueprint("health", __name__)

UNCLEARED = Gauge("ledgerwire_uncleared_accounts", "Accounts that should be zero and are not", ["purpose"])
UNCLEARED_AGE = Gauge("ledgerwire_uncleared_seconds", "How long the oldest of them is not zero", ["purpose"])
UNSEALED = Gauge("ledgerwire_unsealed_entries", "Entries of the ledger that the hash chain does not hold yet")


@lru_cache(maxsize=1)
def _process() -> psutil.Process:
    return psutil.Process()


@lru_cache(maxsize=1)
def _newest_revision() -> str:
    """The revision of the newest migration, which begins its file's name.

    Asking Alembic would cost every web process 7 MB for this one word.
    """
    names = (entry.name for entry in files("core").joinpath("migrations", "versions").iterdir())
    return max(name.partition("_")[0] for name in names if name[0].isdigit())


@blueprint.get("/api/health")
@operation("health", {200: models.Health}, public=True)
def health() -> Response:
    """How this process and what it depends on are. It answers 200 also when they are not well, and says so."""
    parts = services()
    try:
        with parts.database.session() as session:
            waiting, database = backlog(session), "ok"
    except SQLAlchemyError:
        waiting, database = None, "down"
    checks = {"database": database}
    users, scope = 0, "process"
    if parts.presence is not None:
        users, scope, redis = parts.presence.count()
        if redis is not None:
            checks["redis"] = redis
    return reply(
        {
            "status": "ok" if set(checks.values()) == {"ok"} else "degraded",
            "version": config.__version__,
            "uptime_seconds": round(time.monotonic() - parts.started, 3),
            "memory_bytes": _process().memory_info().rss,
            "connected_users": users,
            "connected_users_scope": scope,
            "backlog": waiting,
            "checks": checks,
        }
    )


@blueprint.get("/api/health/ready")
@operation("health", {200: models.Ready}, public=True)
def ready() -> Response:
    """Whether requests can be served: the database is there, and it has the schema of this version."""
    try:
        with services().database.connect() as connection:
            found = (
                connection.execute(text("SELECT to_regclass('alembic_version') IS NOT NULL AS there")).scalar_one()
                and connection.execute(text("SELECT version_num FROM alembic_version")).scalar()
            )
    except SQLAlchemyError:
        return problem(503, "The database is not reachable.", headers={"Retry-After": "1"})
    if found != _newest_revision():
        return problem(503, "The database has not the schema of this version.", headers={"Retry-After": "5"})
    return reply({"status": "ready"})


@blueprint.get("/metrics")
def metrics() -> Response:
    """What Prometheus collects. Keep it behind the proxy: it names connectors and counts, no people."""
    try:
        with services().database.session() as session:
            uncleared, unsealed = clearing_clock.summary(session, datetime.now(UTC)), chain.waiting(session)
    except SQLAlchemyError:
        # What only the database knows is left as it was last known; the rest is this process's own.
        pass
    else:
        for purpose, stands in uncleared.items():
            UNCLEARED.labels(purpose).set(stands["accounts"])
            UNCLEARED_AGE.labels(purpose).set(stands["oldest_age_seconds"])
        UNSEALED.set(unsealed)
    return Response(generate_latest(), content_type=CONTENT_TYPE_LATEST)
