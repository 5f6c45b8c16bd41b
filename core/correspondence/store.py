"""What a seller decided of their mails: words, reminders, receipts. What nobody decided is as it is by itself."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.orm import Session

from core import audit
from core.bulk import array
from core.correspondence.templates import DEFAULTS, KINDS, Kind, Template, check
from core.errors import Forbidden, Invalid
from core.identity import Actor, Role

# Days after the due date, before it where below zero.
DEFAULT_DAYS = (-3, 0, 7, 14, 30)
MAX_RULES = 12
_FIRST_DAY, _LAST_DAY = -90, 365


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """When a customer is reminded: so many days after the due date."""

    days: int
    enabled: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class MailSettings:
    """Whether customers are reminded and sent receipts, and when they are reminded, by day."""

    reminders: bool = True
    receipts: bool = True
    rules: tuple[Rule, ...] = tuple(Rule(days=days) for days in DEFAULT_DAYS)


def _seller(actor: Actor) -> None:
    if actor.role is not Role.SELLER:
        raise Forbidden("only sellers have mails to customers")


def settings(session: Session, seller_id: UUID) -> MailSettings:
    """What a seller decided."""
    row = session.execute(
        text("SELECT reminders, receipts FROM mail_settings WHERE seller_id = :seller"), {"seller": seller_id}
    ).one_or_none()
    if row is None:
        return MailSettings()
    rules = session.execute(
        text("SELECT days, enabled FROM reminder_rules WHERE seller_id = :seller ORDER BY days"), {"seller": seller_id}
    )
    return MailSettings(
        reminders=row.reminders,
        receipts=row.receipts,
        rules=tuple(Rule(days=each.days, enabled=each.enabled) for each in rules),
    )


def save_settings(
    session: Session, actor: Actor, *, reminders: bool, receipts: bool, rules: Sequence[Rule], now: datetime
) -> MailSettings:
    """Replace what a seller decided. Saving the same again changes nothing. Raises Invalid or Forbidden."""
    _seller(actor)
    if len(rules) > MAX_RULES:
        raise Invalid("rules", f"must be at most {MAX_RULES}")
    for place, rule in enumerate(rules):
        if not _FIRST_DAY <= rule.days <= _LAST_DAY:
            raise Invalid(f"rules.{place}.days", f"must be {_FIRST_DAY} to {_LAST_DAY}")
    if len({rule.days for rule in rules}) != len(rules):
        raise Invalid("rules", "name a day twice")
    session.execute(
        text(
            "INSERT INTO mail_settings (seller_id, reminders, receipts, updated_at) "
            "VALUES (:seller, :reminders, :receipts, :now) ON CONFLICT (seller_id) DO UPDATE "
            "SET reminders = excluded.reminders, receipts = excluded.receipts, updated_at = excluded.updated_at"
        ),
        {"seller": actor.id, "reminders": reminders, "receipts": receipts, "now": now},
    )
    session.execute(text("DELETE FROM reminder_rules WHERE seller_id = :seller"), {"seller": actor.id})
    session.execute(
        text(
            "INSERT INTO reminder_rules (seller_id, days, enabled) SELECT :seller, * "
            "FROM unnest(CAST(:days AS smallint[]), CAST(:enabled AS boolean[]))"
        ),
        {
            "seller": actor.id,
            "days": [rule.days for rule in rules],
            "enabled": [rule.enabled for rule in rules],
        },
    )
    audit.record(session, actor, "mail.settings", "user", actor.id, {"reminders": reminders, "receipts": receipts}, now)
    return settings(session, actor.id)


def words(session: Session, seller_id: UUID, kinds: Sequence[Kind] = KINDS) -> dict[Kind, Template]:
    """The words of a seller's mails: their own, or those that stand without."""
    own = session.execute(
        text(
            "SELECT kind, subject, body FROM mail_templates "
            "WHERE seller_id = :seller AND kind = ANY(CAST(:kinds AS text[]))"
        ),
        {"seller": seller_id, "kinds": array(kinds, "text")},
    )
    known = {row.kind: Template(subject=row.subject, body=row.body) for row in own}
    return {kind: known.get(kind, DEFAULTS[kind]) for kind in kinds}


def save_words(session: Session, actor: Actor, kind: Kind, template: Template, now: datetime) -> Template:
    """Keep a seller's own words. Words that are the usual ones are forgotten, so that they go on being those.

    Raises Invalid for what cannot be filled in, and Forbidden.
    """
    _seller(actor)
    kept = check(kind, template)
    if kept == DEFAULTS[kind]:
        reset_words(session, actor, kind, now)
        return kept
    session.execute(
        text(
            "INSERT INTO mail_templates (seller_id, kind, subject, body, updated_at) "
            "VALUES (:seller, :kind, :subject, :body, :now) ON CONFLICT (seller_id, kind) DO UPDATE "
            "SET subject = excluded.subject, body = excluded.body, updated_at = excluded.updated_at"
        ),
        {"seller": actor.id, "kind": kind, "subject": kept.subject, "body": kept.body, "now": now},
    )
    audit.record(session, actor, "mail.words", "user", actor.id, {"kind": kind}, now)
    return kept


def reset_words(session: Session, actor: Actor, kind: Kind, now: datetime) -> Template:
    """Go back to the usual words of a kind."""
    _seller(actor)
    gone = session.execute(
        text("DELETE FROM mail_templates WHERE seller_id = :seller AND kind = :kind RETURNING kind"),
        {"seller": actor.id, "kind": kind},
    ).all()
    if gone:
        audit.record(session, actor, "mail.words", "user", actor.id, {"kind": kind, "reset": True}, now)
    return DEFAULTS[kind]
