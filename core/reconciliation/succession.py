"""What was decided on a line goes on with another one that tells of the same money.

What a bank tells counts before what its owner uploaded, whichever came first: when the bank's line comes, the match and
the payment are its own, investors are repaid with it, and the uploaded line is its duplicate (`take_over`). When the
bank takes its line back the uploaded one has them again, as the word that it is, as far as words go (`fall_back`).

Locks: transactions (the caller's), then invoices, then payments, as everywhere.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, text
from sqlalchemy.exc import IntegrityError

from core.bulk import array
from core.payments import apply as payments
from core.reconciliation import booking, payers
from core.reconciliation.fingerprints import fingerprint
from core.statements import Outcome

_GIVEN = "unnest(CAST(:old AS uuid[]), CAST(:new AS uuid[])) AS given (old, new)"
# What was proposed for the new line, and what it was turned down for that is decided now, has no say any more.
_CLEAR = text(
    f"DELETE FROM matches USING {_GIVEN} WHERE transaction_id = given.new AND (matches.state = 'proposed' "
    "OR target_key IN (SELECT target_key FROM matches AS moved WHERE moved.transaction_id = given.old "
    "AND moved.state = 'accepted'))"
)
_MOVE = text(
    f"UPDATE matches SET transaction_id = given.new FROM {_GIVEN} WHERE matches.transaction_id = given.old "
    "AND matches.state = 'accepted' RETURNING matches.id, matches.transaction_id, kind, subject_id, payment_id, actor, "
    "ARRAY(SELECT target.invoice_id FROM match_targets AS target WHERE match_id = matches.id ORDER BY position) "
    "AS invoices"
)
_LINK = text(
    "UPDATE transaction_payments SET transaction_id = given.new, fingerprint = given.fingerprint FROM unnest("
    "CAST(:old AS uuid[]), CAST(:new AS uuid[]), CAST(:fingerprints AS text[])) AS given (old, new, fingerprint) "
    "WHERE transaction_payments.transaction_id = given.old"
)
_REHOME = text(
    "UPDATE payments SET transaction_id = given.line, connection_id = given.connection FROM unnest("
    "CAST(:ids AS uuid[]), CAST(:lines AS uuid[]), CAST(:connections AS uuid[])) AS given (id, line, connection) "
    "WHERE payments.id = given.id AND payments.id = ANY(CAST(:ids AS uuid[]))"
)
_SET_ASIDE = text(
    f"UPDATE transactions SET match_state = 'duplicate', duplicate_of = given.new, updated_at = now() FROM {_GIVEN} "
    "WHERE (transactions.id = given.old OR transactions.duplicate_of = given.old) "
    "AND transactions.user_id = :user"
)
_BY_WORDS = text(
    "SELECT coalesce(sum(allocations.amount), 0) FROM allocations JOIN payments ON payments.id = payment_id "
    "WHERE allocations.invoice_id = ANY(CAST(:invoices AS uuid[])) AND payments.trust = 'manual'"
)


_MADE = text("SELECT payment_id FROM matches WHERE transaction_id = :id AND state = 'accepted' AND kind = 'invoices'")


def take_over(
    connection: Connection, heirs: Mapping[UUID, UUID], lines: Mapping[UUID, Any], outcome: Outcome, now: datetime
) -> set[UUID]:
    """Let lines of a bank have what was decided on uploaded ones of the same money; return those that have it now.

    `heirs` is line → the uploaded one, all of one seller, `lines` their locked rows. What was decided otherwise since
    it was read is passed over.
    """
    pairs = {
        old: new
        for new, old in heirs.items()
        if new in lines and lines[new].match_state in ("none", "proposed") and lines[new].status == "posted"
        if old in lines and lines[old].match_state in ("accepted", "ignored")
    }
    done: set[UUID] = set()
    # Together; where the database refuses that, one by one, so that the others are not held up.
    for part in [pairs, *([{old: new} for old, new in pairs.items()] if len(pairs) > 1 else [])]:
        left = {old: new for old, new in part.items() if new not in done}
        alone = Outcome()
        try:
            with connection.begin_nested():
                _move(connection, left, lines, alone, now)
                _set_aside(connection, left, lines, alone)
        except IntegrityError:
            continue
        done.update(left.values())
        _add(outcome, alone)
    return done


def fall_back(connection: Connection, removed: Collection[UUID], outcome: Outcome) -> set[UUID]:
    """Let uploaded lines have what was decided on lines that their bank took back; return those of the latter.

    Only where the seller's word for it settles as much as the bank's did: what is more is not theirs to say, and the
    uploaded line waits to be decided on.
    """
    rows = connection.execute(
        text(
            f"SELECT {booking.LINE_COLUMNS}, now() AS moment FROM transactions WHERE status = 'posted' "
            "AND trust = 'manual' AND amount > 0 AND duplicate_of = ANY(CAST(:ids AS uuid[])) AND user_id IN "
            "(SELECT user_id FROM transactions WHERE id = ANY(CAST(:ids AS uuid[]))) ORDER BY id FOR UPDATE"
        ),
        {"ids": array(removed, "uuid")},
    ).all()
    heirs: dict[UUID, Any] = {}
    for row in rows:
        heirs.setdefault(row.duplicate_of, row)
    return {old for old, heir in heirs.items() if _falls_back(connection, old, heir, outcome)}


class _TooMuch(Exception):
    """A word does not settle as much as the money did."""


def _falls_back(connection: Connection, old: UUID, heir: Any, outcome: Outcome) -> bool:
    alone = Outcome()
    try:
        with connection.begin_nested():
            _move_as_word(connection, old, heir, alone)
    except (_TooMuch, IntegrityError):
        return False
    _add(outcome, alone)
    return True


def _move_as_word(connection: Connection, old: UUID, heir: Any, outcome: Outcome) -> None:
    made = connection.scalars(_MADE, {"id": old}).all()
    states = payments.load(connection, made).values()
    named = {"invoices": array({one for state in states for one in state.names}, "uuid")}
    words = connection.scalar(_BY_WORDS, named) + sum(state.allocated for state in states)
    _move(connection, {old: heir.id}, {heir.id: heir}, outcome, heir.moment)
    if connection.scalar(_BY_WORDS, named) != words:
        raise _TooMuch


def _move(
    connection: Connection, pairs: Mapping[UUID, UUID], lines: Mapping[UUID, Any], outcome: Outcome, now: datetime
) -> None:
    """Have the new lines (old → new) what was decided on the old ones; `lines` has rows of the new ones at least."""
    given = {"old": array(pairs, "uuid"), "new": array(pairs.values(), "uuid")}
    payers.unlearn(connection, list(pairs))
    connection.execute(_CLEAR, given)
    moved = connection.execute(_MOVE, given).all()
    news = [lines[new] for new in pairs.values()]
    connection.execute(_LINK, {**given, "fingerprints": array((fingerprint(line) for line in news), "text")})
    booking.link_payouts(connection, {row.subject_id: row.transaction_id for row in moved if row.kind == "payout"})
    made = {row.payment_id: lines[row.transaction_id] for row in moved if row.kind == "invoices"}
    if made:
        connection.execute(
            _REHOME,
            {
                "ids": array(made, "uuid"),
                "lines": array((line.id for line in made.values()), "uuid"),
                "connections": array((line.connection_id for line in made.values()), "uuid"),
            },
        )
    states = payments.load(connection, list(made))
    for state in states.values():
        booking.restate(state, made[state.id]._asdict())
    payments.settle(connection, states, {}, outcome, resolve=False)
    accepted = {row.transaction_id: row for row in moved}
    payers.learn(connection, list(accepted), now)
    booking.mark(connection, {line.id: line for line in news if line.id in accepted}, "accepted", outcome)
    booking.mark(connection, {line.id: line for line in news if line.id not in accepted}, "ignored", outcome)
    before = {new: old for old, new in pairs.items()}
    for row in moved:
        booking.tell_moved(outcome, lines[row.transaction_id], row, before[row.transaction_id])


def _set_aside(connection: Connection, pairs: Mapping[UUID, UUID], lines: Mapping[UUID, Any], outcome: Outcome) -> None:
    """The old lines, and what told of the same as they, tell of what the new ones tell of."""
    for old in pairs:
        booking.tell_line(outcome, lines[old], "duplicate")
    connection.execute(
        _SET_ASIDE,
        {
            "old": array(pairs, "uuid"),
            "new": array(pairs.values(), "uuid"),
            "user": next((lines[old].user_id for old in pairs), None),
        },
    )


def _add(outcome: Outcome, alone: Outcome) -> None:
    outcome.announcements += alone.announcements
    outcome.effects += alone.effects
    outcome.due |= alone.due
    outcome.settled |= alone.settled
    outcome.origins |= alone.origins
