"""Tokens: access (JWT, minutes), refresh (rotating, weeks), service (until revoked), page sessions (cookie).

Whatever is kept is kept as a SHA-256 hash: the tokens are random, so nothing stronger is needed, and a stolen
table opens no door.
"""

from __future__ import annotations

import hashlib
import secrets
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import jwt
from sqlalchemy import text
from sqlalchemy.orm import Session

from core.errors import AuthenticationFailed, NotFound
from core.identity.actors import Actor, Role
from core.identity.users import actor_of
from core.ids import new_id, parse_id

_ISSUER = "ledgerwire"
_AUDIENCE = "ledgerwire-api"
_ALGORITHM = "HS256"
SERVICE_PREFIX = "lws_"
# Clocks of several machines are seldom equal to the second.
_LEEWAY_SECONDS = 5


def digest(token: str) -> bytes:
    """What is stored of a token."""
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).digest()


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenPair:
    """What a client holds after signing in or refreshing."""

    access_token: str = field(repr=False)
    refresh_token: str = field(repr=False)
    expires_in: int


@dataclass(frozen=True, slots=True, kw_only=True)
class AccessClaims:
    """What a good access token says: who, until when, and the sign-in it belongs to."""

    user_id: UUID
    family: UUID
    expires_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Signing:
    """How access tokens are signed and how long tokens live."""

    key: str = field(repr=False)
    access_seconds: int = 900
    refresh_seconds: int = 2_592_000


def _access_token(signing: Signing, actor: Actor, family: UUID, now: datetime) -> str:
    claims = {
        "iss": _ISSUER,
        "aud": _AUDIENCE,
        "sub": str(actor.id),
        "role": actor.role.value,
        "fam": str(family),
        "iat": int(now.timestamp()),
        "exp": int((now + timedelta(seconds=signing.access_seconds)).timestamp()),
        "jti": secrets.token_urlsafe(12),
    }
    return jwt.encode(claims, signing.key, algorithm=_ALGORITHM)


def _issue(session: Session, signing: Signing, actor: Actor, family: UUID, now: datetime) -> TokenPair:
    refresh = secrets.token_urlsafe(32)
    session.execute(
        text(
            "INSERT INTO refresh_tokens (id, family, user_id, token_hash, issued_at, expires_at) "
            "VALUES (:id, :family, :user_id, :token_hash, :now, :expires_at)"
        ),
        {
            "id": new_id(),
            "family": family,
            "user_id": actor.id,
            "token_hash": digest(refresh),
            "now": now,
            "expires_at": now + timedelta(seconds=signing.refresh_seconds),
        },
    )
    return TokenPair(
        access_token=_access_token(signing, actor, family, now),
        refresh_token=refresh,
        expires_in=signing.access_seconds,
    )


def sign_in(session: Session, signing: Signing, actor: Actor, now: datetime) -> TokenPair:
    """Start a family of tokens for somebody who has just proved who they are."""
    return _issue(session, signing, actor, new_id(), now)


def refresh(session: Session, signing: Signing, token: str, now: datetime) -> tuple[Actor, TokenPair] | None:
    """Trade a refresh token for a new pair; None when it is not good. The caller commits in both cases.

    A token that was traded before is in two hands, so the whole family is revoked. Of two that come at the
    same moment one wins and the other is a reuse.
    """
    used = session.execute(
        text(
            "UPDATE refresh_tokens AS token SET used_at = :now FROM users "
            "WHERE token_hash = :hash AND used_at IS NULL AND revoked_at IS NULL AND expires_at > :now "
            "AND users.id = token.user_id AND users.is_active "
            "RETURNING token.family, users.id, users.role, users.email, users.name"
        ),
        {"now": now, "hash": digest(token)},
    ).one_or_none()
    if used is not None:
        actor = actor_of(used)
        return actor, _issue(session, signing, actor, used.family, now)
    session.execute(
        text(
            "UPDATE refresh_tokens SET revoked_at = :now WHERE revoked_at IS NULL AND family = "
            "(SELECT family FROM refresh_tokens WHERE token_hash = :hash AND used_at IS NOT NULL)"
        ),
        {"now": now, "hash": digest(token)},
    )
    return None


def sign_out(session: Session, token: str, now: datetime) -> None:
    """Revoke the family of a refresh token. An unknown token changes nothing."""
    session.execute(
        text(
            "UPDATE refresh_tokens SET revoked_at = :now WHERE revoked_at IS NULL AND family = "
            "(SELECT family FROM refresh_tokens WHERE token_hash = :hash)"
        ),
        {"now": now, "hash": digest(token)},
    )


def sign_out_family(session: Session, family: UUID, now: datetime) -> None:
    """Revoke every token of one sign-in."""
    session.execute(
        text("UPDATE refresh_tokens SET revoked_at = :now WHERE revoked_at IS NULL AND family = :family"),
        {"now": now, "family": family},
    )


def read_access(signing: Signing, token: str, now: datetime) -> AccessClaims:
    """What an access token says. Raises AuthenticationFailed for any token that is not good now."""
    try:
        claims: dict[str, Any] = jwt.decode(
            token,
            signing.key,
            algorithms=[_ALGORITHM],
            audience=_AUDIENCE,
            issuer=_ISSUER,
            # `now` is an argument here as everywhere, so the expiry is judged below.
            options={"require": ["exp", "sub", "iss", "aud", "role", "fam"], "verify_exp": False, "verify_iat": False},
        )
    except (jwt.PyJWTError, ValueError, RecursionError) as error:
        raise AuthenticationFailed("the access token is not valid") from error
    user_id, family, expiry = parse_id(str(claims["sub"])), parse_id(str(claims["fam"])), claims["exp"]
    if user_id is None or family is None or type(expiry) is not int or claims["role"] not in set(Role):
        raise AuthenticationFailed("the access token is not valid")
    if now.timestamp() > expiry + _LEEWAY_SECONDS:
        raise AuthenticationFailed("the access token has expired")
    return AccessClaims(user_id=user_id, family=family, expires_at=datetime.fromtimestamp(expiry, now.tzinfo))


def actor_by_access(session: Session, claims: AccessClaims) -> Actor | None:
    """The active person of an access token whose sign-in has not been revoked, or None."""
    row = session.execute(
        text(
            "SELECT id, role, email, name FROM users WHERE id = :id AND is_active AND EXISTS "
            "(SELECT FROM refresh_tokens WHERE family = :family AND user_id = :id AND revoked_at IS NULL)"
        ),
        {"id": claims.user_id, "family": claims.family},
    ).one_or_none()
    return None if row is None else actor_of(row)


def make_service_token(session: Session, creator: Actor, name: str, now: datetime) -> tuple[UUID, str]:
    """A token for another service, which acts for its creator. It is shown once and stored hashed."""
    identity, token = new_id(), SERVICE_PREFIX + secrets.token_urlsafe(32)
    session.execute(
        text(
            "INSERT INTO service_tokens (id, name, token_hash, created_by, created_at) "
            "VALUES (:id, :name, :hash, :creator, :now)"
        ),
        {"id": identity, "name": name, "hash": digest(token), "creator": creator.id, "now": now},
    )
    return identity, token


def service_tokens(session: Session) -> list[dict[str, Any]]:
    """Every service token, newest first, without the tokens themselves."""
    rows = session.execute(
        text(
            "SELECT token.id::text, token.name, users.email AS created_by, token.created_at, token.revoked_at "
            "FROM service_tokens AS token JOIN users ON users.id = token.created_by ORDER BY token.id DESC LIMIT 200"
        )
    )
    return [row._asdict() for row in rows]


def revoke_service_token(session: Session, identity: UUID, now: datetime) -> None:
    """Make a service token useless. Raises NotFound; a repeat changes nothing."""
    found = session.execute(
        text("UPDATE service_tokens SET revoked_at = coalesce(revoked_at, :now) WHERE id = :id RETURNING id"),
        {"id": identity, "now": now},
    ).one_or_none()
    if found is None:
        raise NotFound("service token", identity)


def actor_by_service_token(session: Session, token: str) -> Actor | None:
    """Who a service token acts for, or None when it is unknown, revoked or its creator is no operator now."""
    row = session.execute(
        text(
            "SELECT users.id, users.role, users.email, token.name FROM service_tokens AS token "
            "JOIN users ON users.id = token.created_by "
            "WHERE token.token_hash = :hash AND token.revoked_at IS NULL AND users.is_active "
            "AND users.role = 'operator'"
        ),
        {"hash": digest(token)},
    ).one_or_none()
    if row is None:
        return None
    return Actor(id=row.id, role=Role.OPERATOR, email=row.email, name=row.name, is_service=True)


def open_session(session: Session, user_id: UUID, user_agent: str, now: datetime, *, seconds: int) -> str:
    """Start a page session; the token goes into a cookie and is stored hashed."""
    token = secrets.token_urlsafe(32)
    session.execute(
        text(
            "INSERT INTO sessions (token_hash, user_id, user_agent, created_at, expires_at) "
            "VALUES (:hash, :user_id, :user_agent, :now, :expires_at)"
        ),
        {
            "hash": digest(token),
            "user_id": user_id,
            "user_agent": user_agent[:200],
            "now": now,
            "expires_at": now + timedelta(seconds=seconds),
        },
    )
    return token


def actor_by_session_hash(session: Session, token_hash: bytes, now: datetime) -> Actor | None:
    """The active person of a page session by the hash of its token, or None."""
    row = session.execute(
        text(
            "SELECT users.id, users.role, users.email, users.name FROM sessions "
            "JOIN users ON users.id = sessions.user_id "
            "WHERE sessions.token_hash = :hash AND sessions.expires_at > :now AND users.is_active"
        ),
        {"hash": token_hash, "now": now},
    ).one_or_none()
    return None if row is None else actor_of(row)


def close_session(session: Session, token: str) -> None:
    """End a page session. An unknown token changes nothing."""
    session.execute(text("DELETE FROM sessions WHERE token_hash = :hash"), {"hash": digest(token)})


def purge(session: Session, now: datetime) -> int:
    """Delete what has expired: sessions, refresh tokens, and idempotency keys of more than a day."""
    deleted = 0
    for statement in (
        "DELETE FROM sessions WHERE expires_at < :now",
        "DELETE FROM refresh_tokens WHERE expires_at < :now",
        "DELETE FROM idempotency_keys WHERE created_at < CAST(:now AS timestamptz) - interval '24 hours'",
    ):
        deleted += len(session.execute(text(statement + " RETURNING 1"), {"now": now}).all())
    return deleted
