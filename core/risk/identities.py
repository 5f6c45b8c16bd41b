"""Who the parties are, and what they have in common who should be strangers (C3)."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import combinations
from typing import Any
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.orm import Session

from core.risk.facts import Shared
from core.taxids import Party, cross

# A paper that two people hand in proves that they share what it speaks of.
_PAPERS = {"pan_card": "pan", "bank_statement": "bank_account", "address_proof": "address"}
_MOST_INVESTORS = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """What KYC knows of one party. `verified` means by papers: that a demo lets everybody in proves nothing."""

    gstin: str | None = None
    pan: str | None = None
    verified: bool = False
    small: bool = False

    @property
    def party(self) -> Party:
        """As the checks of tax numbers take it."""
        return Party(gstin=self.gstin, pan=self.pan)


@dataclass(frozen=True, slots=True, kw_only=True)
class Parties:
    """Both sides, and what any two of seller, buyer and investors share."""

    seller: Known
    buyer: Known
    shared: tuple[Shared, ...] = ()


_PEOPLE = text(
    """
    WITH party (user_id, side) AS (
        SELECT CAST(:seller AS uuid), 'seller'
        UNION ALL SELECT CAST(:buyer AS uuid), 'buyer'
        UNION ALL (SELECT DISTINCT investor_id, 'investor' FROM (
            SELECT investor_id FROM investments WHERE financing_id = :financing AND status <> 'voided'
            UNION SELECT investor_id FROM bids WHERE financing_id = :financing AND state IN ('open', 'won')
        ) AS money LIMIT :limit)
    )
    SELECT party.side, party.user_id, kyc_profiles.pan, kyc_profiles.gstin, kyc_profiles.udyam,
           kyc_profiles.state = 'verified' AND kyc_profiles.evidence = 'documents' AS verified,
           (SELECT array_agg(kyc_documents.kind || ':' || encode(files.sha256, 'hex'))
            FROM kyc_documents JOIN files ON files.id = kyc_documents.file_id
            WHERE kyc_documents.user_id = party.user_id) AS papers
    FROM party LEFT JOIN kyc_profiles ON kyc_profiles.user_id = party.user_id
    WHERE party.user_id IS NOT NULL
    """
)


def _marks(row: Any) -> set[tuple[str, str]]:
    """What a person can be known by: (kind, value)."""
    found: set[tuple[str, str]] = set()
    if pan := cross.identity(Party(gstin=row.gstin, pan=row.pan)):
        found.add(("pan", pan))
    for paper in row.papers or ():
        kind, _, digest = paper.partition(":")
        if kind in _PAPERS:
            found.add((_PAPERS[kind], digest))
    return found


def _shared(rows: Iterable[Any]) -> tuple[Shared, ...]:
    marked = [(row, _marks(row)) for row in rows]
    found = {
        (kind, *sorted((first.side, second.side), key=("seller", "buyer", "investor").index))
        for (first, mine), (second, theirs) in combinations(marked, 2)
        # What two investors share is no matter of this invoice.
        if not first.side == second.side == "investor"
        for kind, _ in mine & theirs
    }
    return tuple(
        Shared(kind=kind, first=f"the {first}", second=f"the {second}") for kind, first, second in sorted(found)
    )


def _known(rows: Iterable[Any], side: str) -> Known:
    row = next((row for row in rows if row.side == side), None)
    if row is None:
        return Known()
    return Known(gstin=row.gstin, pan=row.pan, verified=bool(row.verified), small=row.udyam is not None)


def of(session: Session, seller_id: UUID, buyer_id: UUID | None, financing_id: UUID | None) -> Parties:
    """The parties of an invoice, with whoever has money in it or bids for it. One query."""
    rows = session.execute(
        _PEOPLE,
        {"seller": seller_id, "buyer": buyer_id, "financing": financing_id, "limit": _MOST_INVESTORS},
    ).all()
    return Parties(seller=_known(rows, "seller"), buyer=_known(rows, "buyer"), shared=_shared(rows))
