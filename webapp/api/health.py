"""/api/health (how things are), /api/health/ready (whether requests can be served), /metrics (Prometheus)."""

from __future__ import annotations

import time
from functools import lru_cache

import psutil
from flask import Blueprint, Response
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from sqlalchemy.exc import SQLAlchemyError

import config
from core.inbox.queries import backlog
from core.migrations import at_head
from webapp.api import models
from webapp.api.edge import reply
from webapp.openapi import operation
from webapp.problems import problem
from webapp.services import services

blueprint = Blueprint("health", __name__)


@lru_cache(maxsize=1)
def _process() -> psutil.Process:
    return psutil.Process()


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
            current = at_head(connection)
    except SQLAlchemyError:
        return problem(503, "The database is not reachable.", headers={"Retry-After": "1"})
    if not current:
        return problem(503, "The database has not the schema of this version.", headers={"Retry-After": "5"})
    return reply({"status": "ready"})


@blueprint.get("/metrics")
def metrics() -> Response:
    """What Prometheus collects. Keep it behind the proxy: it names connectors and counts, no people."""
    return Response(generate_latest(), content_type=CONTENT_TYPE_LATEST)
