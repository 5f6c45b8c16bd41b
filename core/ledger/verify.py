"""The verifier: rebuilds everything from the entries and says what does not agree. It reads and changes nothing.

Each check is one statement, so that it sees the books of one instant while postings go on. The numbers are those of
marketplace rules 3.1; those with a B are about the sellers' books (`core.books.checks`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, text

from core.books.checks import CHECKS as BOOKS
from core.ledger import anchors, chain
from core.ledger.accounts import Account, Purpose
from core.ledger.checks import CHECKS

# Of each kind of trouble so many are listed: the first says enough.
_LISTED = 100
_COUNTS = text(
    "SELECT (SELECT count(*) FROM ledger_accounts) AS accounts, (SELECT count(*) FROM ledger_transfers) AS transfers, "
    "(SELECT count(*) FROM ledger_entries) AS entries, (SELECT count(*) FROM ledger_holds) AS holds, "
    "(SELECT count(*) FROM ledger_unsealed) AS unsealed, (SELECT count(*) FROM book_due) AS unposted"
)
_HEAD = text("SELECT position, hash FROM ledger_chain_head")
_ANCHORS = text("SELECT day, position, hash FROM ledger_anchors ORDER BY day")
_ACCOUNTS = text("SELECT id, owner, purpose, currency FROM ledger_accounts WHERE id > :after ORDER BY id LIMIT 5000")

Progress = Callable[[str, int], None]


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that does not agree: the invariant it breaks (L1 to L14, B1 to B5), what it is about, and how."""

    invariant: str
    subject: str
    message: str


@dataclass(slots=True, kw_only=True)
class Report:
    """What was looked at, and what is wrong. Counts are of rows; `unposted` objects wait for the sellers' books."""

    accounts: int = 0
    transfers: int = 0
    entries: int = 0
    holds: int = 0
    unsealed: int = 0
    unposted: int = 0
    sealed: int = 0
    head: bytes = chain.GENESIS
    anchors: int = 0
    problems: list[Problem] = field(default_factory=list)

    @property
    def sound(self) -> bool:
        """Whether everything agrees."""
        return not self.problems


def verify(connection: Connection, progress: Progress | None = None, anchors_path: Path | None = None) -> Report:
    """Rebuild balances, holds, sequences, transfers, the chain and the anchors, and list every disagreement.

    `progress` is told each step and how far it is. With `anchors_path` the file of anchors is compared as well.
    """
    tell = progress or _silent
    report = Report(**connection.execute(_COUNTS).one()._asdict())
    for check in (*CHECKS, *BOOKS):
        tell(check.name, 0)
        rows = connection.execute(text(f"{check.query} LIMIT {_LISTED}"))
        report.problems += [Problem(check.invariant, str(row.subject), row.message) for row in rows]
    report.problems += _names(connection, tell)
    report.problems += _chain(connection, report, anchors_path, tell)
    return report


def _silent(step: str, done: int) -> None:
    pass


def _names(connection: Connection, tell: Progress) -> Iterator[Problem]:
    """An account's id is made of its name: money under another name would be money nobody finds."""
    after, seen = "00000000-0000-0000-0000-000000000000", 0
    while rows := connection.execute(_ACCOUNTS, {"after": after}).all():
        for row in rows:
            if Account(row.owner, Purpose(row.purpose), row.currency).id != row.id:
                yield Problem("L11", str(row.id), f"is not the id of {row.purpose} of {row.owner} in {row.currency}")
        after, seen = rows[-1].id, seen + len(rows)
        tell("names of accounts", seen)


def _chain(connection: Connection, report: Report, path: Path | None, tell: Progress) -> list[Problem]:
    """Recompute every hash; compare what the head and the anchors remember of it."""
    problems: list[Problem] = []
    # Read before the chain, which only grows: whatever they name must be found in it.
    remembered = _remembered(connection, report, path, problems)
    found = {0: chain.GENESIS}
    before, position, last_of = chain.GENESIS, 0, dict[Any, int]()
    for row in chain.links(connection):
        position += 1
        problems += [
            Problem("L10", f"link {row.link_position}", message) for message in _wrong(row, position, before, last_of)
        ]
        # From here on by what is written, so that one fault is told once.
        before, position = bytes(row.hash), row.link_position
        if position in remembered:
            found[position] = before
        if position % 10_000 == 0:
            tell("hash chain", position)
    report.sealed, report.head = position, before
    for position, said in remembered.items():
        for who, hashed in said:
            if found.get(position) != hashed:
                problems.append(Problem("L10", who, f"remembers another hash at position {position} of the chain"))
    return problems[: 10 * _LISTED]


def _wrong(row: Any, position: int, before: bytes, last_of: dict[Any, int]) -> Iterable[str]:
    """What is wrong with one link. `last_of` remembers how far each account is sealed."""
    if row.link_position != position:
        yield f"follows {position - 1}"
    if bytes(row.prev_hash) != before:
        yield "does not name the hash before it"
    if row.id is None or row.owner is None or row.kind is None:
        yield f"seals entry {row.link_entry}, which is not there"
        return
    if row.id != row.link_entry:
        yield f"seals entry {row.link_entry}, and finds {row.id} in its place"
    if last_of.get(row.account_id, 0) + 1 != row.sequence:
        yield f"seals entry {row.sequence} of account {row.account_id} out of turn"
    last_of[row.account_id] = row.sequence
    if chain.digest(bytes(row.prev_hash), row) != bytes(row.hash):
        yield f"does not fit entry {row.link_entry} of transfer {row.transfer_id}: one of them was changed"


def _remembered(
    connection: Connection, report: Report, path: Path | None, problems: list[Problem]
) -> dict[int, list[tuple[str, bytes]]]:
    """Position → what the head, the anchors and their file say of its hash."""
    head = connection.execute(_HEAD).one_or_none()
    said: list[tuple[str, int, bytes]] = []
    if head is None:
        problems.append(Problem("L10", "head of the chain", "is missing"))
    else:
        said.append(("head of the chain", head.position, bytes(head.hash)))
    kept = [
        anchors.Anchor(day=row.day, position=row.position, hash=bytes(row.hash)) for row in connection.execute(_ANCHORS)
    ]
    report.anchors = len(kept)
    said += [(f"anchor of {one.day}", one.position, one.hash) for one in kept]
    if path is not None:
        lines = anchors.read(path)
        said += [(f"anchor of {one.day} in {path.name}", one.position, one.hash) for one in lines]
        problems += [
            Problem("L10", f"anchor of {one.day}", f"is not in {path.name}") for one in kept if one not in lines
        ]
    found: dict[int, list[tuple[str, bytes]]] = {}
    for who, position, hashed in said:
        found.setdefault(position, []).append((who, hashed))
    return found
