"""Handing in a profile, deciding on it, and who may move money."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Literal
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.orm import Session

from core import notifications
from core.errors import Conflict, Forbidden, Invalid, NotFound
from core.identity import Actor
from core.kyc import checks
from core.kyc.profile import Profile
from core.kyc.states import State, change, lock
from core.live import announce
from core.notifications import Notice

Decision = Literal["verify", "reject", "expire"]
MAX_REASON = 500
_TO = {"verify": State.VERIFIED, "reject": State.REJECTED, "expire": State.EXPIRED}
_TITLES = {
    State.VERIFIED: "Your identity is verified",
    State.REJECTED: "Your identity could not be verified",
    State.EXPIRED: "Your identity must be verified again",
}
_KINDS = [f"kyc.{state.value}" for state in _TITLES]
_SHARED = "kyc.shared_pan"


class KycRequired(Forbidden):
    """Money moves only for people whose KYC is verified."""

    code = "kyc_required"


class KycChanged(Conflict):
    """The profile is not any more what the operator looked at."""

    code = "kyc_changed"


@dataclass(frozen=True, slots=True)
class Numbers:
    """What a person is known by."""

    pan: str | None
    gstin: str | None


def state_of(session: Session, user_id: UUID) -> State:
    """How far a person's KYC is."""
    found = session.scalar(text("SELECT state FROM kyc_profiles WHERE user_id = :user"), {"user": user_id})
    return State(found) if found else State.NOT_STARTED


def require_verified(session: Session, user_id: UUID) -> None:
    """Raise KycRequired unless the person's KYC is verified. Before every action that moves or owes money."""
    state = state_of(session, user_id)
    if state is not State.VERIFIED:
        raise KycRequired(f"this needs a verified identity (KYC), and yours is {state.value.replace('_', ' ')}")


def numbers(session: Session, user_id: UUID) -> Numbers | None:
    """The PAN and GSTIN of a person; None when nothing was handed in, or an operator refused it."""
    row = session.execute(
        text("SELECT pan, gstin FROM kyc_profiles WHERE user_id = :user AND state <> 'rejected' AND pan IS NOT NULL"),
        {"user": user_id},
    ).one_or_none()
    return None if row is None else Numbers(row.pan, row.gstin)


def same_person(session: Session, one: UUID, two: UUID) -> bool:
    """Whether two accounts are one person: the same account, or the same PAN (risk C3).

    A PAN counts from the moment it is handed in, whatever becomes of it: whoever gives another's PAN may not deal
    with them.
    """
    if one == two:
        return True
    return bool(
        session.scalar(
            text(
                "SELECT EXISTS (SELECT FROM kyc_profiles AS mine JOIN kyc_profiles AS other USING (pan) "
                "WHERE mine.user_id = :one AND other.user_id = :two)"
            ),
            {"one": one, "two": two},
        )
    )


def sharing(session: Session, user_id: UUID, pan: str) -> list[UUID]:
    """The other accounts that gave a PAN."""
    return list(
        session.scalars(
            text("SELECT user_id FROM kyc_profiles WHERE pan = :pan AND user_id <> :user ORDER BY user_id"),
            {"pan": pan, "user": user_id},
        )
    )


def submit(session: Session, actor: Actor, profile: Profile, now: datetime) -> None:
    """Hand in a profile; it takes the place of the one before and waits for an operator.

    Whoever was verified is not while it waits. Raises Forbidden for a service.
    """
    if actor.is_service:
        raise Forbidden("a service token has no KYC")
    row = lock(session, actor.id, now)
    change(
        session,
        row,
        State.SUBMITTED,
        now,
        actor=actor,
        reason="handed in" if row.submitted_at is None else "handed in again",
        **asdict(profile),
        evidence=None,
        submitted_at=now,
        decided_at=None,
        decided_by=None,
        decision_reason=None,
    )
    announce(session, notifications.clear(session, actor.id, _KINDS, now))
    if sharing(session, actor.id, profile.pan):
        _tell_operators(session, actor, now)


def _tell_operators(session: Session, actor: Actor, now: datetime) -> None:
    operators = session.scalars(text("SELECT id FROM users WHERE role = 'operator' AND is_active ORDER BY id")).all()
    for operator in operators:
        notice = Notice(
            user_id=operator,
            kind=_SHARED,
            subject_kind="kyc_review",
            subject_id=actor.id,
            title="Two accounts give the same PAN",
            body=f"{actor.name} handed in a PAN that another account gives too. They cannot deal with each other.",
        )
        announce(session, notifications.tell(session, notice, now))


def decide(
    session: Session,
    operator: Actor,
    user_id: UUID,
    decision: Decision,
    reason: str,
    now: datetime,
    *,
    version: int | None = None,
) -> None:
    """Decide on a person's KYC, for a reason. `version` is the one looked at.

    Raises NotFound, Conflict when the state does not allow it, KycChanged when the profile is another by now, and
    Forbidden for one's own or for the own PAN's: maker and checker are two. And Forbidden for a service.
    """
    if operator.is_service:
        raise Forbidden("a person decides on somebody's KYC, not a service")
    said = " ".join(reason.split())
    if not 0 < len(said) <= MAX_REASON:
        raise Invalid("reason", f"must have 1 to {MAX_REASON} characters")
    if session.scalar(text("SELECT 1 FROM users WHERE id = :id"), {"id": user_id}) is None:
        raise NotFound("user", user_id)
    if same_person(session, operator.id, user_id):
        raise Forbidden("nobody decides on their own KYC")
    if state_of(session, user_id) is State.NOT_STARTED:
        raise Conflict("nothing was handed in yet")
    row = lock(session, user_id, now)
    if version is not None and version != row.version:
        raise KycChanged("the profile was changed since you looked at it; look again")
    to = _TO[decision]
    if to.value == row.state:
        raise Conflict(f"this is {to.value} already")
    failed = [] if row.pan is None else [each.code for each in examine(session, row) if not each.passed]
    more = {"evidence": "documents"} if to is State.VERIFIED else {}
    change(
        session,
        row,
        to,
        now,
        actor=operator,
        reason=said,
        data={"failed_checks": failed},
        decided_at=now,
        decided_by=operator.id,
        decision_reason=said,
        **more,
    )
    _tell_person(session, user_id, to, said, now)


def _tell_person(session: Session, user_id: UUID, state: State, reason: str, now: datetime) -> None:
    notice = Notice(
        user_id=user_id,
        kind=f"kyc.{state.value}",
        subject_kind="kyc",
        subject_id=user_id,
        title=_TITLES[state],
        body=reason,
    )
    events = notifications.clear(session, user_id, [*_KINDS, _SHARED], now)
    announce(session, [*events, *notifications.tell(session, notice, now)])


def profile_of(row: object) -> Profile | None:
    """The profile in a row of `kyc_profiles`; None when nothing was handed in."""
    if getattr(row, "pan", None) is None:
        return None
    return Profile(**{name: getattr(row, name) for name in Profile.__dataclass_fields__})


def examine(session: Session, row: object) -> list[checks.Check]:
    """The checks of a row as it stands now; none when nothing was handed in."""
    profile = profile_of(row)
    if profile is None:
        return []
    user_id: UUID = row.user_id  # type: ignore[attr-defined]  # A row has no type.
    kinds = session.scalars(
        text("SELECT kind FROM kyc_documents WHERE user_id = :user AND replaced_at IS NULL"), {"user": user_id}
    ).all()
    return checks.run(profile, kinds, len(sharing(session, user_id, profile.pan)))


def welcome(session: Session, user_id: UUID, now: datetime) -> bool:
    """Count a person as verified because this is a demo; the record says so. Says whether it changed anything.

    Whoever began a KYC of their own is left alone.
    """
    if state_of(session, user_id) is not State.NOT_STARTED:
        return False
    row = lock(session, user_id, now)
    if row.version:
        return False
    change(session, row, State.VERIFIED, now, actor=None, reason="demo installation", evidence="demo", decided_at=now)
    return True


def welcome_all(session: Session, now: datetime, limit: int = 500) -> int:
    """The same for everybody who was here before; returns how many. For the housekeeping of a demo installation."""
    people = session.scalars(
        text(
            "SELECT id FROM users LEFT JOIN kyc_profiles ON user_id = id "
            "WHERE user_id IS NULL AND is_active AND role <> 'operator' ORDER BY id LIMIT :limit"
        ),
        {"limit": limit},
    ).all()
    return sum(welcome(session, person, now) for person in people)
