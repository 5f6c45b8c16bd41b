"""Errors as people and programs see them: RFC 9457 problem documents for the API, pages for browsers.

One table says which HTTP status each deliberate error has. A problem's `type` is /problems/<code>, and codes
never change.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import cast

import structlog
from flask import Flask, Response, render_template, request
from flask_limiter import RateLimitExceeded
from flask_wtf.csrf import CSRFError
from sqlalchemy.exc import DataError, DBAPIError, InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from werkzeug.exceptions import HTTPException

from core import errors, files
from core.edits import StaleEdit
from core.marketplace.links import LinkExpired
from webapp.services import services

log = structlog.get_logger(__name__)

FieldErrors = Sequence[Mapping[str, str]]


class InFlight(errors.Conflict):
    """A request with the same Idempotency-Key is being worked on."""

    code = "idempotency_in_flight"


class KeyReused(errors.PlatformError):
    """An Idempotency-Key came again with another request."""

    code = "idempotency_key_reused"


class InvalidFields(errors.PlatformError):
    """Several values are not acceptable."""

    code = "invalid"

    def __init__(self, fields: FieldErrors) -> None:
        super().__init__("The request has values that are not acceptable.")
        self.fields = fields


class BadRequest(errors.PlatformError):
    """The request cannot be read at all."""

    code = "bad_request"


class UnsupportedMediaType(errors.PlatformError):
    """The body is not of a type that is read here."""

    code = "unsupported_media_type"


# The first class that fits decides, so the narrower stands before the wider.
STATUS: tuple[tuple[type[errors.PlatformError], int], ...] = (
    (BadRequest, 400),
    (errors.MalformedPayload, 400),
    (errors.AuthenticationFailed, 401),
    (errors.SignatureRejected, 401),
    (errors.Forbidden, 403),
    (errors.NotFound, 404),
    (errors.Conflict, 409),
    (LinkExpired, 410),
    (files.FileTooLarge, 413),
    (UnsupportedMediaType, 415),
    (files.FileTypeRefused, 415),
    (errors.Invalid, 422),
    (InvalidFields, 422),
    (KeyReused, 422),
    (errors.CurrencyMismatch, 422),
    (errors.Permanent, 502),
    (errors.Transient, 503),
)
_CODES = {
    400: "bad_request",
    401: "authentication_failed",
    403: "forbidden",
    404: "not_found",
    405: "method_not_allowed",
    409: "conflict",
    413: "too_large",
    414: "too_large",
    415: "unsupported_media_type",
    422: "invalid",
    429: "too_many_requests",
    503: "unavailable",
}
RETRY_SECONDS = 1


def problem(
    status: int,
    detail: str,
    *,
    code: str | None = None,
    fields: FieldErrors = (),
    headers: Mapping[str, str] | None = None,
    more: Mapping[str, object] | None = None,
) -> Response:
    """An application/problem+json response; `more` are members that this code alone has."""
    document: dict[str, object] = {
        "type": f"/problems/{code or _CODES.get(status, 'error')}",
        "title": HTTPStatus(status).phrase,
        "status": status,
        "detail": detail,
        "code": code or _CODES.get(status, "error"),
    }
    if fields:
        document["errors"] = list(fields)
    document |= more or {}
    # ASCII on purpose: a detail may quote what a stranger sent, and lone surrogates have no UTF-8.
    return Response(json.dumps(document), status=status, mimetype="application/problem+json", headers=headers)


def status_of(error: errors.PlatformError) -> int:
    """The HTTP status of a deliberate error."""
    return next((status for kind, status in STATUS if isinstance(error, kind)), 500)


def wants_document() -> bool:
    """Whether the asker is a program: everything under /api, and what prefers JSON to a page.

    An ingress has no pages, so whoever asks it anything is answered as a program.
    """
    if services().role == "ingress":
        return True
    if request.path.startswith(("/api/", "/metrics", "/socket.io")):
        return True
    best = request.accept_mimetypes.best_match(["text/html", "application/json", "application/problem+json"])
    return best is not None and best != "text/html"


def answer(
    status: int,
    detail: str,
    *,
    code: str | None = None,
    fields: FieldErrors = (),
    headers: Mapping[str, str] | None = None,
    more: Mapping[str, object] | None = None,
) -> Response:
    """The error as a problem document or as a page, whichever the asker reads."""
    if wants_document():
        return problem(status, detail, code=code, fields=fields, headers=headers, more=more)
    page = render_template(
        "error.html", status=status, title=HTTPStatus(status).phrase, detail=detail, code=code, errors=list(fields)
    )
    return Response(page, status=status, mimetype="text/html", headers=headers)


def _of_platform(error: errors.PlatformError) -> Response:
    status = status_of(error)
    headers = {}
    if isinstance(error, InFlight | errors.Transient):
        headers["Retry-After"] = str(RETRY_SECONDS)
    if status == 401:
        headers["WWW-Authenticate"] = "Bearer"
    fields: FieldErrors = ()
    if isinstance(error, InvalidFields):
        fields = error.fields
    elif isinstance(error, errors.Invalid):
        fields = [{"field": error.field, "message": error.message}]
    if status >= 500:
        log.error("request failed", path=request.path, error=str(error), code=error.code)
    detail = "The signature was refused." if isinstance(error, errors.SignatureRejected) else str(error)
    more = _missed(error) if isinstance(error, StaleEdit) else None
    return answer(status, detail, code=error.code, fields=fields, headers=headers, more=more)


def _missed(error: StaleEdit) -> dict[str, object]:
    """What somebody changed meanwhile, and the version that it is at now: newest first."""
    return {
        "version": error.version,
        "changes": [
            {"field": field, "before": pair[0], "after": pair[1], "actor": edit.actor, "at": edit.at.isoformat()}
            for edit in error.edits
            for field, pair in edit.changes.items()
        ],
    }


def _of_http(error: HTTPException) -> Response:
    if error.response is not None and error.code is None:
        return cast("Response", error.response)
    status = error.code or 500
    if 300 <= status < 400:
        # A redirect that werkzeug raises (a missing slash) is no error.
        return Response(error.get_body(), status, error.get_headers())
    # Allow of a 405, Retry-After of a 429: everything but what describes werkzeug's own page.
    headers = {
        name: value for name, value in error.get_headers(None) if name.lower() not in ("content-type", "content-length")
    }
    return answer(status, error.description or HTTPStatus(status).phrase, headers=headers)


def _of_limit(error: RateLimitExceeded) -> Response:
    headers = {"Retry-After": str(error.limit.limit.get_expiry())}
    return answer(429, "Too many attempts. Wait a little and try again.", headers=headers)


def _of_csrf(error: CSRFError) -> Response:
    return answer(403, error.description or "The form has expired. Reload the page.", code="csrf_failed")


def _of_database(error: DBAPIError) -> Response:
    if isinstance(error, DataError):
        # A value that no check of ours stopped and PostgreSQL cannot hold: the sender's fault, and our gap.
        log.error("value refused by the database", path=request.path, error=type(error.orig).__name__)
        return answer(422, "A value is out of range.", code="invalid")
    if isinstance(error, OperationalError | InterfaceError):
        log.error("database not reachable", path=request.path, error=type(error.orig).__name__)
        return _unavailable()
    return _unexpected(error)


def _unavailable(_error: Exception | None = None) -> Response:
    return answer(
        503, "The service is not available right now.", code="unavailable", headers={"Retry-After": str(RETRY_SECONDS)}
    )


def _unexpected(error: Exception) -> Response:
    log.error("request failed unexpectedly", path=request.path, method=request.method, exc_info=error)
    return answer(500, "Something went wrong on our side.", code="internal_error")


def install(app: Flask) -> None:
    """Register the handlers."""
    app.register_error_handler(errors.PlatformError, _of_platform)
    app.register_error_handler(RateLimitExceeded, _of_limit)
    app.register_error_handler(CSRFError, _of_csrf)
    app.register_error_handler(HTTPException, _of_http)
    app.register_error_handler(PoolTimeout, _unavailable)
    app.register_error_handler(DBAPIError, _of_database)
    app.register_error_handler(Exception, _unexpected)
