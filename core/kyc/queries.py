"""Reading KYC: one's own, and the operators' queue."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.orm import Session

from core import paging
from core.errors import Forbidden, NotFound
from core.identity import Actor
from core.kyc import checks, documents, store
from core.kyc.profile import Profile
from core.kyc.states import State
from core.taxids import pan

_HISTORY_SHOWN = 50


def _history(session: Session, user_id: UUID) -> list[dict[str, Any]]:
    rows = session.execute(
        text(
            "SELECT version, before, after, reason, at, actor_id, users.name AS actor FROM kyc_history "
            "LEFT JOIN users ON users.id = actor_id WHERE user_id = :user ORDER BY version DESC LIMIT :limit"
        ),
        {"user": user_id, "limit": _HISTORY_SHOWN},
    ).all()
    return [
        {
            "version": row.version,
            "before": row.before,
            "after": row.after,
            "reason": row.reason,
            "at": row.at,
            "actor": row.actor,
            "by": "platform" if row.actor_id is None else "person" if row.actor_id == user_id else "operator",
        }
        for row in rows
    ]


def show(session: Session, user_id: UUID) -> dict[str, Any]:
    """Everything of a person's KYC: state, profile, papers, what is missing, checks in words, history."""
    row = session.execute(text("SELECT * FROM kyc_profiles WHERE user_id = :user"), {"user": user_id}).one_or_none()
    papers = documents.listed(session, user_id)
    profile = store.profile_of(row)
    handed_in = {paper["kind"] for paper in papers}
    return {
        "user_id": str(user_id),
        "state": row.state if row else State.NOT_STARTED.value,
        "version": row.version if row else 0,
        "evidence": row.evidence if row else None,
        "profile": None if profile is None else _profile(profile),
        "documents": papers,
        "missing": [kind for kind in checks.needed(profile) if kind not in handed_in],
        "checks": [
            {"code": each.code, "title": each.title, "passed": each.passed, "sentence": each.sentence}
            for each in (store.examine(session, row) if row else [])
        ],
        "reason": row.decision_reason if row else None,
        "submitted_at": row.submitted_at if row else None,
        "decided_at": row.decided_at if row else None,
        "history": _history(session, user_id),
    }


def _profile(profile: Profile) -> dict[str, Any]:
    return {name: getattr(profile, name) for name in Profile.__dataclass_fields__}


def mine(session: Session, actor: Actor) -> dict[str, Any]:
    """The actor's own. Who else gives the same PAN, and which operator decided, is not theirs to know."""
    found = show(session, actor.id)
    found["checks"] = [each for each in found["checks"] if each["code"] != "shared_pan"]
    for entry in found["history"]:
        entry["actor"] = None if entry["by"] == "operator" else entry["actor"]
    return found


def review(session: Session, actor: Actor, user_id: UUID) -> dict[str, Any]:
    """What an operator decides on, with the accounts that give the same PAN. Raises Forbidden or NotFound."""
    _operators_only(actor)
    person = session.execute(
        text("SELECT id::text, name, email, role, organisation, created_at FROM users WHERE id = :id"), {"id": user_id}
    ).one_or_none()
    if person is None:
        raise NotFound("user", user_id)
    found = show(session, user_id)
    others = session.execute(
        text(
            "SELECT users.id::text, name, email, role FROM kyc_profiles JOIN users ON users.id = user_id "
            "WHERE pan = :pan AND user_id <> :user ORDER BY users.id LIMIT 20"
        ),
        {"pan": found["profile"]["pan"] if found["profile"] else None, "user": user_id},
    ).all()
    return {**found, "user": person._asdict(), "shared_with": [other._asdict() for other in others]}


def _operators_only(actor: Actor) -> None:
    if not actor.is_operator:
        raise Forbidden("this is for operators")


def _row(row: Any) -> dict[str, Any]:
    return {
        "user": {"id": str(row.id), "name": row.name, "email": row.email, "role": row.role},
        "state": row.state,
        "version": row.version,
        "evidence": row.evidence,
        "legal_name": row.legal_name,
        "constitution": row.constitution,
        "pan": pan.masked(row.pan) if row.pan else None,
        "shared_pan": row.shared_pan,
        "submitted_at": row.submitted_at,
        "updated_at": row.updated_at,
    }


def queue(
    session: Session,
    actor: Actor,
    *,
    limit: int = 25,
    cursor: str | None = None,
    state: str | None = None,
    search: str | None = None,
) -> dict[str, Any]:
    """Everybody whose KYC was begun. Those who wait come first in, first out; other lists show the newest first.

    Raises Forbidden for all but operators.
    """
    _operators_only(actor)
    waiting = state == State.SUBMITTED.value
    values: dict[str, Any] = {"limit": paging.check_limit(limit) + 1}
    conditions = ["version > 0"]
    if state is not None:
        conditions.append("state = :state")
        values["state"] = state
    if search:
        conditions.append("(name ILIKE :search OR email ILIKE :search OR legal_name ILIKE :search OR pan = :exact)")
        values |= {"search": paging.contains(search), "exact": pan.clean(search)}
    after: tuple[datetime, UUID] | None = paging.after_moment(cursor)
    if after is not None:
        conditions.append(f"(kyc_profiles.updated_at, user_id) {'>' if waiting else '<'} (:moment, :after)")
        values |= {"moment": after[0], "after": after[1]}
    order = "ASC" if waiting else "DESC"
    rows = session.execute(
        text(
            "SELECT user_id AS id, users.name, email, role, state, version, evidence, legal_name, constitution, pan, "
            "submitted_at, kyc_profiles.updated_at, pan IS NOT NULL AND EXISTS (SELECT FROM kyc_profiles AS other "
            "WHERE other.pan = kyc_profiles.pan AND other.user_id <> kyc_profiles.user_id) AS shared_pan "
            f"FROM kyc_profiles JOIN users ON users.id = user_id WHERE {' AND '.join(conditions)} "
            f"ORDER BY kyc_profiles.updated_at {order}, user_id {order} LIMIT :limit"
        ),
        values,
    ).all()
    return paging.page(rows, limit, _row, by_moment="updated_at")


def waiting(session: Session) -> int:
    """How many wait for an operator."""
    return int(session.scalar(text("SELECT count(*) FROM kyc_profiles WHERE state = 'submitted'")) or 0)
