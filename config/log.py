"""Logging: one line per problem, in colour for people or in JSON for machines, never with a secret in it."""

from __future__ import annotations

import logging
import re
import sys
from collections.abc import MutableMapping
from typing import Any

import structlog

from config.settings import Settings

_SECRET = re.compile(r"secret|password|passwd|token|authorization|signature|cookie|api_?key|master_key", re.IGNORECASE)
HIDDEN = "[hidden]"
# Deep enough for every value we log ourselves; what is deeper is shown as its type.
_MAX_DEPTH = 6


def _hide(value: object, depth: int = 0) -> object:
    if depth >= _MAX_DEPTH:
        return type(value).__name__
    if isinstance(value, dict):
        return {key: HIDDEN if _SECRET.search(str(key)) else _hide(inner, depth + 1) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_hide(inner, depth + 1) for inner in value]
    return value


def hide_secrets(_logger: object, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Drop the value of every key that is named like a secret, however deep."""
    for key in list(event):
        event[key] = HIDDEN if _SECRET.search(key) else _hide(event[key])
    return event


def configure(settings: Settings, process: str) -> None:
    """Send structlog and the standard library's logging to stderr in the configured form.

    `process` is the Procfile name, so that lines of several processes in one terminal can be told apart.
    """
    shared: list[Any] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        hide_secrets,
    ]
    machine = settings.log_format == "json"
    rendering: list[Any] = (
        [structlog.processors.format_exc_info, structlog.processors.JSONRenderer()]
        if machine
        else [
            structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty(), exception_formatter=structlog.dev.plain_traceback)
        ]
    )

    def name_process(_logger: object, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
        event.setdefault("process", process)
        return event

    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[structlog.stdlib.ExtraAdder(), *shared, name_process],
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *rendering],
        )
    )
    logging.basicConfig(handlers=[handler], level=settings.log_level, force=True)
    # A line per request is the proxy's business, and a look at the schema is no news.
    for noisy in ("werkzeug", "geventwebsocket.handler", "engineio.server", "socketio.server", "alembic"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *shared,
            name_process,
            structlog.stdlib.PositionalArgumentsFormatter(),
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )
