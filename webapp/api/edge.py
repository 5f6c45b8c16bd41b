"""What comes in and goes out of the API: bodies, queries, idempotent answers.

Whatever a stranger sends becomes a value of the declared model or a 4xx.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Callable
from datetime import timedelta
from decimal import Decimal
from typing import Any, NoReturn, TypeVar

from flask import Response, current_app, request
from pydantic import BaseModel, ValidationError
from sqlalchemy import text
from sqlalchemy.orm import Session

from core.connections.sealing import answer_identity
from core.errors import Invalid
from core.identity import Actor
from webapp.auth import now
from webapp.problems import BadRequest, InFlight, InvalidFields, KeyReused, UnsupportedMediaType
from webapp.services import services

_MAX_DEPTH = 32
_MAX_KEY = 255
_KEY_LIFE = timedelta(hours=24)
_Model = TypeVar("_Model", bound=BaseModel)


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


def _no_repeats(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("an object names a member twice")
    return found


def _check_text(value: str) -> None:
    if "\x00" in value:
        raise BadRequest("the body holds a NUL character")
    if not value.isascii():
        try:
            value.encode("utf-8")
        except UnicodeEncodeError:
            raise BadRequest("the body holds half a surrogate pair, which is no character") from None


def check_value(value: object) -> None:
    """Refuse what no column and no log can hold: NUL, lone surrogates, nesting without end. Raises BadRequest."""
    waiting: list[tuple[object, int]] = [(value, 0)]
    while waiting:
        current, depth = waiting.pop()
        if depth > _MAX_DEPTH:
            raise BadRequest(f"the body is nested more than {_MAX_DEPTH} deep")
        if isinstance(current, str):
            _check_text(current)
        elif isinstance(current, dict):
            for key, inner in current.items():
                _check_text(str(key))
                waiting.append((inner, depth + 1))
        elif isinstance(current, list):
            waiting.extend((inner, depth + 1) for inner in current)


def read_json() -> object:
    """The body as JSON. Raises UnsupportedMediaType or BadRequest."""
    if request.mimetype != "application/json":
        raise UnsupportedMediaType("send the body as application/json")
    raw = request.get_data(cache=True)
    try:
        value = json.loads(
            raw.decode("utf-8"),
            parse_constant=_refuse_constant,
            parse_float=Decimal,
            object_pairs_hook=_no_repeats,
        )
    except (ValueError, RecursionError) as error:
        # UnicodeDecodeError and JSONDecodeError are ValueErrors.
        raise BadRequest("the body is not JSON in UTF-8") from error
    check_value(value)
    return value


def _fields(error: ValidationError) -> InvalidFields:
    return InvalidFields(
        [
            {
                "field": ".".join(str(part) for part in each["loc"])[:200] or "body",
                "message": each["msg"][:300].removeprefix("Value error, "),
            }
            for each in error.errors(include_url=False, include_input=False, include_context=False)[:50]
        ]
    )


def read_body(model: type[_Model]) -> _Model:
    """The body as a value of `model`. Raises InvalidFields, naming each field.

    Nothing at all is as good as an empty object where no field must be given.
    """
    nothing = not request.get_data(cache=True)
    optional = not any(field.is_required() for field in model.model_fields.values())
    value = {} if nothing and optional else read_json()
    try:
        return model.model_validate(value)
    except ValidationError as error:
        raise _fields(error) from error


def read_query(model: type[_Model]) -> _Model:
    """The query as a value of `model`; an unknown or repeated name is an error."""
    given: dict[str, str] = {}
    for name, values in request.args.lists():
        if len(values) > 1:
            raise Invalid(name[:100], "stands more than once")
        given[name] = values[0]
    try:
        return model.model_validate(given)
    except ValidationError as error:
        raise _fields(error) from error


def reply(payload: object, status: int = 200) -> Response:
    """A JSON answer."""
    return Response(current_app.json.dumps(payload), status, mimetype="application/json")


def once(
    actor: Actor, work: Callable[[Session], tuple[dict[str, Any], int]], *, confidential: bool = False
) -> Response:
    """Do work in one transaction; with an Idempotency-Key, do it once and repeat its answer for a day.

    The key is claimed in the transaction of the effect: both are there or neither. The same key with another
    request is refused, and so is one whose first request is still being worked on. An answer that shows a
    secret (`confidential`) is kept sealed.
    """
    key = request.headers.get("Idempotency-Key")
    if key is None:
        with services().database.session() as session:
            payload, status = work(session)
        return reply(payload, status)
    if not 0 < len(key) <= _MAX_KEY or not key.isascii() or not key.isprintable():
        raise Invalid("Idempotency-Key", f"must have 1 to {_MAX_KEY} printable ASCII characters")
    asked = hashlib.sha256(f"{request.method} {request.path}\n".encode() + request.get_data(cache=True)).digest()
    with services().database.session() as session:
        known = _claim(session, actor, key, asked)
        if known is not None:
            return known
        payload, status = work(session)
        spelled = current_app.json.dumps(payload)
        if confidential:
            sealed = services().ring.seal(spelled, answer_identity(actor.id, key))
            spelled = json.dumps({"sealed": base64.b64encode(sealed).decode("ascii")})
        session.execute(
            text(
                "INSERT INTO idempotency_keys (user_id, key, request_hash, status, response, created_at) "
                "VALUES (:user, :key, :hash, :status, CAST(:response AS jsonb), :now)"
            ),
            {
                "user": actor.id,
                "key": key,
                "hash": asked,
                "status": status,
                "response": spelled,
                "now": now(),
            },
        )
    return reply(payload, status)


def _claim(session: Session, actor: Actor, key: str, asked: bytes) -> Response | None:
    """The earlier answer of a key; None when the key is now ours until the transaction ends."""
    lock = int.from_bytes(hashlib.sha256(f"{actor.id}\n{key}".encode()).digest()[:8], "big", signed=True)
    if not session.scalar(text("SELECT pg_try_advisory_xact_lock(:lock)"), {"lock": lock}):
        raise InFlight("a request with this Idempotency-Key is still being worked on")
    row = session.execute(
        text(
            "SELECT request_hash, status, response, created_at FROM idempotency_keys "
            "WHERE user_id = :user AND key = :key"
        ),
        {"user": actor.id, "key": key},
    ).one_or_none()
    if row is None:
        return None
    if now() - row.created_at > _KEY_LIFE:
        session.execute(
            text("DELETE FROM idempotency_keys WHERE user_id = :user AND key = :key"),
            {"user": actor.id, "key": key},
        )
        return None
    if row.request_hash != asked:
        raise KeyReused("this Idempotency-Key was used with another request")
    response = row.response
    if isinstance(response, dict) and "sealed" in response:
        sealed = base64.b64decode(response["sealed"])
        response = json.loads(services().ring.open(sealed, answer_identity(actor.id, key)))
    answer = reply(response, row.status)
    answer.headers["Idempotency-Replayed"] = "true"
    return answer
