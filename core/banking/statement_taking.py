"""Taking a statement in, a page of lines at a time, and taking it back; and lines typed by hand."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, text
from sqlalchemy.orm import Session

from core import audit, intake
from core.banking import statement_accounts as book
from core.banking.statement_accounts import Account, Wanted
from core.banking.statement_fates import Told, fates
from core.banking.statements import StatementNotReady, lock, require_seller, tell, today_or_before
from core.bulk import Rows, array
from core.connections.store import STATEMENT
from core.errors import Conflict, Invalid
from core.events import BankAccount, BankTransaction, DomainEvent, TransactionStatus, Trust
from core.identity import Actor
from core.ids import new_id
from core.live import announce
from core.marketplace.calendar import Calendar
from core.money import MAX_MINOR, Money, exponent
from core.statement_files import Mapping
from core.statements import Statement

# Lines taken in by one transaction.
PAGE = 1000
# Files of up to so many lines are taken in while their owner waits, longer ones by a worker.
AT_ONCE = 2000
# Of what is told more often than this in one page, one is told.
_MOST_OF_A_KIND = 20


_COUNT = (
    "UPDATE statement_imports SET fresh = counts.fresh, known = counts.known, doubled = counts.doubled FROM ("
    "SELECT import_id, count(*) FILTER (WHERE fate = 'new') AS fresh, "
    "count(*) FILTER (WHERE fate = 'known') AS known, count(*) FILTER (WHERE fate = 'duplicate') AS doubled "
    "FROM statement_lines WHERE import_id = ANY(CAST(:ids AS uuid[])) GROUP BY import_id) AS counts "
    "WHERE id = counts.import_id"
)


class StatementMatched(Conflict):
    """Some of the lines pay invoices: their matches are to be undone first."""

    code = "statement_matched"


class LineKnown(Conflict):
    """The books hold this line already."""

    code = "line_known"


def confirm(session: Session, actor: Actor, import_id: UUID, now: datetime) -> int:
    """Have a statement that was looked over taken in; returns how many lines that is. A repeat changes nothing.

    Raises NotFound, Forbidden or StatementNotReady.
    """
    row = lock(session, actor, import_id)
    if row.state in ("taking", "done"):
        return int(row.lines)
    if row.state != "ready":
        raise StatementNotReady(
            "this statement was undone; bring the file again" if row.state == "undone" else
            "say first which account this is, and which column is what"
        )  # fmt: skip
    if not row.lines:
        raise StatementNotReady("there is no line in it that can be taken in")
    session.execute(
        text("UPDATE statement_imports SET state = 'taking', decided_at = :now WHERE id = :id"),
        {"now": now, "id": import_id},
    )
    book.learn(
        session,
        row.connection_id,
        row.said.get("number_masked"),
        None if row.mapping is None else Mapping.model_validate(row.mapping),
    )
    audit.record(session, actor, "statement.confirmed", "statement", import_id, {"lines": row.lines}, now)
    tell(session, actor.id, import_id, "taking", 0, row.lines)
    return int(row.lines)


def take(
    session: Session, import_id: UUID | None, now: datetime, calendar: Calendar | None = None, page: int = PAGE
) -> bool:
    """Take the next lines of an import in, of whichever waits where none is named; whether more is to be done.

    The caller commits. What another worker is taking in is left to it.
    """
    row = session.execute(
        text(
            "SELECT * FROM statement_imports WHERE state = 'taking' AND (CAST(:id AS uuid) IS NULL OR id = :id) "
            "ORDER BY id LIMIT 1 FOR UPDATE SKIP LOCKED"
        ),
        {"id": import_id},
    ).one_or_none()
    if row is None:
        return False
    lines = session.execute(
        text("SELECT * FROM statement_lines WHERE import_id = :id AND position > :taken ORDER BY position LIMIT :page"),
        {"id": row.id, "taken": row.taken, "page": page},
    ).all()
    account = _account(session, row.connection_id)
    _take_page(session.connection(), row, account, lines, now, calendar)
    taken = row.taken + len(lines)
    done = taken >= row.lines
    session.execute(
        text("UPDATE statement_imports SET taken = :taken, state = :state WHERE id = :id"),
        {"taken": taken, "state": "done" if done else "taking", "id": row.id},
    )
    session.execute(text(_COUNT), {"ids": array([row.id], "uuid")})
    tell(session, row.user_id, row.id, "done" if done else "taking", taken, row.lines)
    if done:
        # Whoever reconciles looks at the lines of this person.
        session.execute(text("INSERT INTO reconcile_requests (user_id) VALUES (:user)"), {"user": row.user_id})
    return True


def _account(session: Session, connection_id: UUID) -> Account:
    # Its row is held until the end: two imports of one account are taken in one after the other.
    found = session.execute(
        text("SELECT * FROM statement_accounts WHERE connection_id = :id FOR UPDATE"), {"id": connection_id}
    ).one()
    return Account(
        id=found.connection_id,
        name=found.name,
        currency=found.currency,
        number_masked=found.number_masked,
        mapping=None,
    )


def _take_page(
    connection: Connection, row: Any, account: Account, lines: Sequence[Any], now: datetime, calendar: Calendar | None
) -> None:
    told = [
        Told(
            object_id=line.object_id,
            minor=line.amount,
            currency=line.currency,
            booked_on=line.booked_on,
            valued_on=line.valued_on,
            narration=line.narration,
            reference=line.bank_reference,
        )
        for line in lines
    ]
    # Again, because other files and webhooks may have come since it was looked over.
    found = fates(connection, row.user_id, account.id, account.number_masked, told, _claimed(connection, row))
    fresh = [line for line, (fate, _) in zip(lines, found, strict=True) if fate == "new"]
    statements = [_statement(row, account, _transaction(account, line)) for line in fresh]
    if row.taken == 0:
        statements.insert(0, _statement(row, account, _bank_account(row, account)))
    intake.apply(connection, statements, most_of_a_kind=_MOST_OF_A_KIND, now=now, calendar=calendar)
    ids = {
        each.object_id: each.id
        for each in connection.execute(
            text(
                "SELECT object_id, id FROM object_keys WHERE connection_id = :account AND kind = 'transaction' "
                "AND object_id = ANY(CAST(:ids AS text[]))"
            ),
            {"account": account.id, "ids": array((line.object_id for line in fresh), "text")},
        )
    }
    fated = Rows(position="integer", fate="text", transaction_id="uuid")
    connection.execute(
        text(
            "UPDATE statement_lines SET fate = given.fate, transaction_id = given.transaction_id "
            f"FROM {fated.source('given')} WHERE import_id = :import AND statement_lines.position = given.position"
        ),
        fated.parameters(
            {
                "position": line.position,
                "fate": fate,
                "transaction_id": ids[line.object_id] if fate == "new" else identity,
            }
            for line, (fate, identity) in zip(lines, found, strict=True)
        )
        | {"import": row.id},
    )


def _claimed(connection: Connection, row: Any) -> Sequence[UUID]:
    """The transactions that lines of this import are, also those on other pages."""
    return connection.scalars(
        text(
            "SELECT object_keys.id FROM object_keys JOIN statement_lines USING (object_id) "
            "WHERE statement_lines.import_id = :id AND connection_id = :account AND kind = 'transaction' "
            "UNION SELECT transaction_id FROM statement_lines "
            "WHERE import_id = :id AND position <= :taken AND transaction_id IS NOT NULL"
        ),
        {"id": row.id, "account": row.connection_id, "taken": row.taken},
    ).all()


def _statement(row: Any, account: Account, record: BankTransaction | BankAccount) -> Statement:
    return Statement(
        event_id=row.id,
        connection_id=account.id,
        user_id=row.user_id,
        connector=STATEMENT,
        trust=Trust.MANUAL,
        record=record,
    )


def _transaction(account: Account, line: Any) -> BankTransaction:
    return BankTransaction(
        object_id=line.object_id,
        # What it is never changes: another amount or day is another line.
        version=1,
        account_id=str(account.id),
        status=TransactionStatus.POSTED,
        money=Money(line.amount, line.currency),
        narration=line.narration,
        occurred_at=datetime.combine(line.booked_on, time.min, UTC),
        booked_on=line.booked_on,
        counterparty=line.counterparty,
        bank_reference=line.bank_reference,
        balance=None if line.balance is None else Money(line.balance, line.currency),
        category=line.category,
    )


def _bank_account(row: Any, account: Account) -> BankAccount:
    closing, last = row.said.get("closing"), row.said.get("last_on")
    return BankAccount(
        object_id=str(account.id),
        # The balance of the newest statement holds, in whatever order they are brought.
        version=date.fromisoformat(last).toordinal() if last and closing is not None else 0,
        name=account.name,
        currency=account.currency,
        number=_unmasked(account.number_masked),
        balance=None if closing is None else Money(closing, account.currency),
    )


def _unmasked(masked: str | None) -> str | None:
    """A number that is masked to the same: the last characters are all that was kept of the real one."""
    return None if masked is None else masked.removeprefix("••••").strip().rjust(5, "0") if masked != "••••" else "0"


def undo(session: Session, actor: Actor, import_id: UUID, now: datetime) -> int:
    """Take back what an import brought; returns how many transactions are gone. The file stays.

    A line that another import has as well stays with that one. Raises NotFound, StatementNotReady, or
    StatementMatched while a line pays an invoice.
    """
    row = lock(session, actor, import_id)
    if row.state != "done":
        raise StatementNotReady("only a statement that was taken in can be undone")
    connection = session.connection()
    _account(session, row.connection_id)
    _hand_on(connection, import_id)
    ids = connection.scalars(
        text(
            "SELECT transaction_id FROM statement_lines AS mine WHERE import_id = :id AND fate = 'new' "
            "AND transaction_id IS NOT NULL AND NOT EXISTS (SELECT FROM statement_lines AS other "
            "WHERE other.transaction_id = mine.transaction_id AND other.import_id <> :id AND other.fate = 'new')"
        ),
        {"id": import_id},
    ).all()
    _remove(connection, row.user_id, ids)
    session.execute(text("DELETE FROM statement_lines WHERE import_id = :id"), {"id": import_id})
    session.execute(
        text("UPDATE statement_imports SET state = 'undone', decided_at = :now WHERE id = :id"),
        {"now": now, "id": import_id},
    )
    audit.record(session, actor, "statement.undone", "statement", import_id, {"transactions": len(ids)}, now)
    tell(session, actor.id, import_id, "undone", 0, row.lines)
    room = f"user:{actor.id}"
    announce(session, [DomainEvent(room=room, name="dashboard.updated", data={})])
    return len(ids)


def _hand_on(connection: Connection, import_id: UUID) -> None:
    """Let what an import brought, and others have as well, be what the oldest of those brought."""
    heirs = connection.scalars(
        text(
            "UPDATE statement_lines AS other SET fate = 'new' FROM statement_lines AS mine "
            "WHERE mine.import_id = :id AND mine.fate = 'new' AND other.transaction_id = mine.transaction_id "
            "AND other.fate <> 'new' AND other.import_id = (SELECT third.import_id FROM statement_lines AS third "
            "JOIN statement_imports ON statement_imports.id = third.import_id AND statement_imports.state = 'done' "
            "WHERE third.transaction_id = mine.transaction_id AND third.import_id <> :id AND third.fate <> 'new' "
            "ORDER BY third.import_id LIMIT 1) RETURNING other.import_id"
        ),
        {"id": import_id},
    ).all()
    connection.execute(text(_COUNT), {"ids": array(sorted(set(heirs)), "uuid")})


def _remove(connection: Connection, user_id: UUID, ids: Sequence[UUID]) -> None:
    """Delete transactions as if they had never been. Locks their keys, then them. Raises StatementMatched."""
    given = {"ids": array(sorted(ids), "uuid"), "user": user_id}
    connection.execute(
        text("SELECT FROM object_keys WHERE id = ANY(CAST(:ids AS uuid[])) ORDER BY object_id FOR UPDATE"), given
    )
    rows = connection.execute(
        text("SELECT id, match_state FROM transactions WHERE id = ANY(CAST(:ids AS uuid[])) ORDER BY id FOR UPDATE"),
        given,
    ).all()
    matched = sum(row.match_state == "accepted" for row in rows)
    if matched:
        raise StatementMatched(
            f"{matched} of its lines {'pays' if matched == 1 else 'pay'} something; undo "
            f"{'that match' if matched == 1 else 'those matches'} first"
        )
    for statement in (
        # What was set aside as the same money as one of these speaks for itself again.
        (
            "UPDATE transactions SET match_state = 'none', duplicate_of = NULL, updated_at = now() "
            "WHERE user_id = :user AND duplicate_of = ANY(CAST(:ids AS uuid[])) AND id <> ALL(CAST(:ids AS uuid[]))"
        ),
        "DELETE FROM judgements WHERE transaction_id = ANY(CAST(:ids AS uuid[]))",
        "DELETE FROM matches WHERE transaction_id = ANY(CAST(:ids AS uuid[]))",
        # Of files that are looked over only; what is theirs is seen again when they are taken in.
        "UPDATE statement_lines SET transaction_id = NULL WHERE transaction_id = ANY(CAST(:ids AS uuid[]))",
        "DELETE FROM event_effects WHERE object_id = ANY(CAST(:ids AS uuid[])) AND object_kind = 'transaction'",
        "DELETE FROM transactions WHERE id = ANY(CAST(:ids AS uuid[]))",
        "DELETE FROM object_keys WHERE id = ANY(CAST(:ids AS uuid[])) AND kind = 'transaction'",
    ):
        connection.execute(text(statement), given)


@dataclass(frozen=True, slots=True, kw_only=True)
class NewLine:
    """A line typed by hand. `amount` in minor units, negative when money left."""

    account: Wanted
    amount: int
    booked_on: date
    narration: str
    counterparty: str | None = None
    reference: str | None = None


def add_line(
    session: Session, actor: Actor, new: NewLine, now: datetime, calendar: Calendar | None = None
) -> tuple[UUID, UUID]:
    """Enter one line; returns the ids of its import and its transaction.

    Raises Forbidden, NotFound, Invalid, or LineKnown when the books hold it already.
    """
    require_seller(actor)
    account = book.find(session, actor, new.account, None, None)
    if account is None:
        if not new.account.name or not new.account.currency:
            raise Invalid("account_id", "say which account it is on, or name a new one with its currency")
        account = book.make(session, actor, new.account.name, new.account.currency, now)
    narration = " ".join(new.narration.split())
    if not 0 < len(narration) <= 1000:
        raise Invalid("narration", "must have 1 to 1000 characters")
    if new.amount == 0 or abs(new.amount) > MAX_MINOR:
        raise Invalid("amount", "must be an amount in minor units, and not nothing")
    exponent(account.currency)
    day = today_or_before(new.booked_on, now)
    import_id = new_id()
    told = Told(
        object_id=f"hand:{import_id}",
        minor=new.amount,
        currency=account.currency,
        booked_on=day,
        valued_on=day,
        narration=narration,
        reference=new.reference or None,
    )
    fate, _ = fates(session.connection(), actor.id, account.id, account.number_masked, [told])[0]
    if fate != "new":
        raise LineKnown("the books hold this line already: same amount, day and reference or text")
    session.execute(
        text(
            "INSERT INTO statement_imports (id, user_id, connection_id, name, format, state, said, lines, fresh, "
            "created_at, decided_at) VALUES (:id, :user, :account, 'Typed by hand', 'hand', 'taking', "
            "CAST(:said AS jsonb), 1, 1, :now, :now)"
        ),
        {"id": import_id, "user": actor.id, "account": account.id, "said": json.dumps({}), "now": now},
    )
    session.execute(
        text(
            "INSERT INTO statement_lines (import_id, position, object_id, amount, currency, booked_on, valued_on, "
            "narration, counterparty, bank_reference, fate) VALUES (:id, 1, :object, :amount, :currency, :day, :day, "
            ":narration, :counterparty, :reference, 'new')"
        ),
        {
            "id": import_id,
            "object": told.object_id,
            "amount": told.minor,
            "currency": told.currency,
            "day": day,
            "narration": narration,
            "counterparty": new.counterparty or None,
            "reference": told.reference,
        },
    )
    audit.record(session, actor, "statement.line_entered", "statement", import_id, {"amount": told.minor}, now)
    take(session, import_id, now, calendar)
    transaction_id = session.scalar(
        text("SELECT transaction_id FROM statement_lines WHERE import_id = :id"), {"id": import_id}
    )
    if not isinstance(transaction_id, UUID):
        raise LineKnown("somebody else has just entered this line")
    return import_id, transaction_id
