"""Searching invoices: number, reference, customer, lines and notes, whole words, beginnings, parts, and typing errors.

Every word must be found, each in one of these ways:
- as the beginning of a word (full text, in no particular language), from the first letter on, as one types;
- as a part of anything, from three letters on;
- nearly, from four letters on and without digits: "Ramsh" finds "Ramesh" (trigrams, word similarity 0.45), and
  from five on so does "Rmaesh", with two neighbours changed about. A number that is nearly right is another number.

`invoice_texts` is kept by triggers (migration 0017); what is longer than 20,000 characters is searched up to there.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.orm import Session

from core import paging
from core.bulk import array
from core.identity import Actor, Role
from core.invoicing.references import number_key

MAX_WORDS = 8
_FEW = 2000
# Of so many of the newest invoices so many that have the words mean many: as they are written, or with typing errors.
_NEWEST = {False: (1000, 5), True: (300, 5)}
_OWN = {Role.SELLER: "seller_id = :actor", Role.BUYER: "buyer_id = :actor", Role.OPERATOR: "true"}
_ID = "SELECT texts.invoice_id"
_BY_INDEX = text("SELECT set_config('enable_seqscan', :scans, true)")
_MAX_WORD = 60
_PART, _NEARLY, _SWAPPED, _LONGEST_SWAPPED = 3, 4, 5, 12
# PostgreSQL's own 0.6 misses a letter that was left out of a short word.
_SIMILARITY = "0.45"


def _words(search: str) -> list[str]:
    found = [word[:_MAX_WORD] for word in search.split() if any(letter.isalnum() for letter in word)]
    return list(dict.fromkeys(found))[:MAX_WORDS]


def _lexeme(word: str) -> str:
    """A word as the beginning of one, for to_tsquery; what would be its syntax is text."""
    plain = word.replace("\\", "\\\\").replace("'", "''")
    return f"'{plain}':*"


def _ways(place: int, word: str, *, near: bool) -> tuple[str, dict[str, Any]]:
    """The condition under which a text has a word, and its values; `near` takes typing errors too."""
    name = f"word_{place}"
    ways, values = list[str](), dict[str, Any]()
    # Of INV-42 full text makes words of its own, and looks for all that begin with INV; as a part it is found at once.
    if word.isalnum() or len(word) < _PART:
        ways.append(f"texts.words @@ to_tsquery('simple', :{name}_begins)")
        values[f"{name}_begins"] = _lexeme(word)
    if len(word) >= _PART:
        ways.append(f"texts.body LIKE lower(:{name}_part)")
        values[f"{name}_part"] = paging.contains(word)
    if near and len(word) >= _NEARLY and word.isalpha():
        ways.append(f"lower(:{name}) <% texts.body")
        values[name] = word
    if near and _SWAPPED <= len(word) <= _LONGEST_SWAPPED and word.isalpha():
        # To trigrams two neighbours changed about are four of six wrong.
        for at in range(len(word) - 1):
            ways.append(f"texts.body LIKE lower(:{name}_swap_{at})")
            values[f"{name}_swap_{at}"] = paging.contains(word[:at] + word[at + 1] + word[at] + word[at + 2 :])
    return f"({' OR '.join(ways)})", values


def _texts(search: str, actor: Actor, *, near: bool = True) -> tuple[str, dict[str, Any]] | None:
    """The query for the ids whose texts have every word; None where there is no word."""
    words = _words(search)
    if not words:
        return None
    conditions = ["texts.seller_id = :actor"] if actor.role is Role.SELLER else []
    values: dict[str, Any] = {}
    for place, word in enumerate(words):
        way, more = _ways(place, word, near=near)
        conditions.append(way)
        values |= more
    return f"SELECT texts.invoice_id FROM invoice_texts AS texts WHERE {' AND '.join(conditions)}", values


@dataclass(frozen=True, slots=True)
class Found:
    """The invoices that have the words, where they are few; else whether typing errors count."""

    ids: list[UUID] | None = None
    near: bool = True


def find(session: Session, search: str, actor: Actor) -> Found:
    """Look the words up, so far that `condition` knows how to go on. To be asked before it, in the same transaction.

    PostgreSQL cannot tell beforehand how many a search finds. Few are named one by one; for many the list is walked
    along until a page is full, which a look at the newest tells beforehand. Either way for the other takes seconds,
    and so does reading all texts instead of the index, which is why that is forbidden here. Where the words as they
    are written find many, what is nearly so is not looked for: to judge a text by its trigrams costs fifty times as
    much. It also says how near is near.
    """
    session.execute(
        text("SELECT set_config('pg_trgm.word_similarity_threshold', :similarity, true)"), {"similarity": _SIMILARITY}
    )
    if actor.role is Role.INVESTOR:
        return Found()
    last = _texts(search, actor)
    for near in (False, True):
        found = _texts(search, actor, near=near)
        if found is None or last is None:
            return Found()
        query, values = found
        newest, enough = _NEWEST[near]
        seen = session.scalar(
            text(
                f"SELECT count(*) FROM (SELECT id FROM invoices WHERE {_OWN[actor.role]} ORDER BY id DESC "
                f"LIMIT {newest}) AS newest JOIN ({query.replace(_ID, f'{_ID}, texts.invoice_id AS id', 1)}) "
                "AS found USING (id)"
            ),
            {**values, "actor": actor.id},
        )
        if seen is not None and seen >= enough:
            return Found(near=near)
        session.execute(_BY_INDEX, {"scans": "off"})
        ids = list(session.scalars(text(f"{query} LIMIT {_FEW + 1}"), {**values, "actor": actor.id}))
        session.execute(_BY_INDEX, {"scans": "on"})
        if len(ids) > _FEW:
            return Found(near=near)
        if query == last[0]:
            return Found(ids=ids)
    raise AssertionError


def condition(search: str, actor: Actor, found: Found) -> tuple[str, dict[str, Any]]:
    """The condition under which an invoice is found, and its values; it uses the parameter :actor.

    For a query that reads invoices joined with contacts and users (the seller); `found` is what `find` said. Nobody
    finds out by searching what they are not shown: to investors an invoice is its number and its customer's name.
    """
    if actor.role is Role.INVESTOR:
        return (
            "(invoices.number ILIKE :search OR contacts.name ILIKE :search)",
            {"search": paging.contains(search)},
        )
    texts = _texts(search, actor, near=found.near)
    if texts is None:
        return "false", {}
    query, values = texts
    sought = f"EXISTS ({query} AND texts.invoice_id = invoices.id)"
    if found.ids is not None:
        sought, values = "invoices.id = ANY(CAST(:found AS uuid[]))", {"found": array(found.ids, "uuid")}
    if actor.role is not Role.BUYER:
        return sought, values
    # To a buyer an invoice is its seller's.
    values["search"] = paging.contains(search)
    return f"({sought} OR users.name ILIKE :search OR users.organisation ILIKE :search)", values


def named(search: str | None, actor: Actor) -> str | None:
    """The normal form of the number that a seller's search may be, which then stands before all else; or None.

    Only a seller's numbers are each one invoice: of many sellers' it would be no single one.
    """
    if not search or actor.role is not Role.SELLER:
        return None
    key = number_key(search)
    return key if any(letter.isdigit() for letter in key) else None
