"""Searching invoices: number, reference, customer, lines and notes, whole words, beginnings, parts, and typing errors.

Every word must be found, each in one of these ways:
- as the beginning of a word (full text, in no particular language), from the first letter on, as one types;
- as a part of anything, from three letters on;
- nearly, from four letters on and without digits: "Ramsh" finds "Ramesh" (trigrams, word similarity 0.45), and
  from five on so does "Rmaesh", with two neighbours changed about. A number that is nearly right is another number.

`invoice_texts` is kept by triggers (migration 0017); what is longer than 20,000 characters is searched up to there.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import text
from sqlalchemy.orm import Session

from core import paging
from core.identity import Actor, Role
from core.invoicing.references import number_key

MAX_WORDS = 8
_FEW = 5000
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


def _ways(place: int, word: str) -> tuple[str, dict[str, Any]]:
    """The condition under which a text has a word, and its values."""
    name = f"word_{place}"
    ways = [f"texts.words @@ to_tsquery('simple', :{name}_begins)"]
    values: dict[str, Any] = {f"{name}_begins": _lexeme(word)}
    if len(word) >= _PART:
        ways.append(f"texts.body LIKE lower(:{name}_part)")
        values[f"{name}_part"] = paging.contains(word)
    if len(word) >= _NEARLY and word.isalpha():
        ways.append(f"lower(:{name}) <% texts.body")
        values[name] = word
    if _SWAPPED <= len(word) <= _LONGEST_SWAPPED and word.isalpha():
        # To trigrams two neighbours changed about are four of six wrong.
        for at in range(len(word) - 1):
            ways.append(f"texts.body LIKE lower(:{name}_swap_{at})")
            values[f"{name}_swap_{at}"] = paging.contains(word[:at] + word[at + 1] + word[at] + word[at + 2 :])
    return f"({' OR '.join(ways)})", values


def _texts(search: str, actor: Actor) -> tuple[str, dict[str, Any]] | None:
    """The query for the ids whose texts have every word; None where there is no word."""
    words = _words(search)
    if not words:
        return None
    conditions = ["texts.seller_id = :actor"] if actor.role is Role.SELLER else []
    values: dict[str, Any] = {}
    for place, word in enumerate(words):
        way, more = _ways(place, word)
        conditions.append(way)
        values |= more
    return f"SELECT texts.invoice_id FROM invoice_texts AS texts WHERE {' AND '.join(conditions)}", values


def rare(session: Session, search: str, actor: Actor) -> bool:
    """Whether few texts have the words. To be asked before `condition`, in the same transaction.

    PostgreSQL cannot tell beforehand how many a search finds. Of few it must begin with them; of many it must walk
    along the list until a page is full. Either way for the other takes seconds. It also says how near is near.
    """
    session.execute(
        text("SELECT set_config('pg_trgm.word_similarity_threshold', :similarity, true)"), {"similarity": _SIMILARITY}
    )
    if actor.role is Role.INVESTOR or (found := _texts(search, actor)) is None:
        return True
    query, values = found
    count = session.scalar(
        text(f"SELECT count(*) FROM ({query} LIMIT {_FEW + 1}) AS found"), {**values, "actor": actor.id}
    )
    return count is not None and count <= _FEW


def condition(search: str, actor: Actor, *, few: bool = True) -> tuple[str, dict[str, Any]]:
    """The condition under which an invoice is found, and its values; it uses the parameter :actor.

    For a query that reads invoices joined with contacts and users (the seller); `few` is what `rare` said. Nobody
    finds out by searching what they are not shown: to investors an invoice is its number and its customer's name.
    """
    if actor.role is Role.INVESTOR:
        return (
            "(invoices.number ILIKE :search OR contacts.name ILIKE :search)",
            {"search": paging.contains(search)},
        )
    texts = _texts(search, actor)
    if texts is None:
        return "false", {}
    query, values = texts
    if few:
        query = f"WITH found AS MATERIALIZED ({query}) SELECT invoice_id FROM found"
    found = f"invoices.id IN ({query})"
    if actor.role is not Role.BUYER:
        return found, values
    # To a buyer an invoice is its seller's.
    values["search"] = paging.contains(search)
    return f"({found} OR users.name ILIKE :search OR users.organisation ILIKE :search)", values


def named(search: str | None, actor: Actor) -> str | None:
    """The normal form of the number that a seller's search may be, which then stands before all else; or None.

    Only a seller's numbers are each one invoice: of many sellers' it would be no single one.
    """
    if not search or actor.role is not Role.SELLER:
        return None
    key = number_key(search)
    return key if any(letter.isdigit() for letter in key) else None
