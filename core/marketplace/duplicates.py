"""Whether an invoice is financed already, or looks like one that is (marketplace rules 2.9).

Asked at submission, at acceptance and again before money moves. The last line against two acceptances at one
moment is not here: it is the partial unique index over the fingerprints of active financings (migration 0007).
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import TYPE_CHECKING, Any
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.orm import Session

from core import kyc
from core.bulk import array
from core.errors import NotFound
from core.marketplace import fingerprints
from core.marketplace.fingerprints import Document, Fingerprints
from core.marketplace.likeness import AMOUNT_PERCENT, DAYS, Hit, Sighting, compare
from core.marketplace.series import SERIES_DAYS, Series
from core.taxids import DocumentKind, Party

if TYPE_CHECKING:
    from core.marketplace.states import Financing

__all__ = ["Document", "Hit", "check", "described", "document", "is_financed"]

_ENDED = "('rejected', 'expired', 'withdrawn')"
# An invoice that still waits for its buyer, or is disputed, has not been financed.
_UNCONFIRMED = "('pending_buyer_confirmation', 'disputed', 'rejected', 'expired', 'withdrawn')"
# So many rows are compared at most; a pair of parties has far fewer invoices in two months.
_MOST = 500
_MOST_NUMBERS = 2000


def _party(session: Session, user_id: UUID | None, gstin: str | None) -> Party:
    known = kyc.numbers(session, user_id) if user_id is not None else None
    return Party(gstin=gstin or (known.gstin if known else None), pan=known.pan if known else None)


def document(
    session: Session,
    invoice_id: UUID,
    *,
    buyer_email: str,
    buyer_id: UUID | None,
    papers: Mapping[str, Any],
) -> Document:
    """An invoice as its fingerprints see it. `papers` are what the seller said of it; KYC fills what is missing.

    Raises NotFound.
    """
    row = session.execute(
        text("SELECT seller_id, number, issue_date, total, currency FROM invoices WHERE id = :id"), {"id": invoice_id}
    ).one_or_none()
    if row is None:
        raise NotFound("invoice", invoice_id)
    files = [UUID(str(each)) for each in papers.get("files") or ()]
    hashes = session.scalars(
        text("SELECT encode(sha256, 'hex') FROM files WHERE id = ANY(CAST(:ids AS uuid[]))"),
        {"ids": array(files, "uuid")},
    ).all()
    return Document(
        seller_id=row.seller_id,
        buyer_email=buyer_email,
        number=papers.get("document_number") or row.number,
        issued=row.issue_date,
        amount=row.total,
        currency=row.currency,
        kind=DocumentKind(papers.get("document_type") or "INV"),
        seller=_party(session, row.seller_id, papers.get("supplier_gstin")),
        buyer=_party(session, buyer_id, papers.get("buyer_gstin")),
        file_hashes=hashes,
        references=tuple(papers.get("references") or ()),
    )


_CANDIDATES = text(
    f"""
    SELECT id, fp_e1, fp_e2, fp_n1, fp_pair, number_groups, file_hashes, document_references, face, currency, issue_date
    FROM financings
    WHERE state NOT IN {_ENDED} AND id IS DISTINCT FROM CAST(:except AS uuid)
      -- Of two that both wait for their buyers the one that came first may go on: an id tells the time.
      AND (state NOT IN {_UNCONFIRMED} OR CAST(:except AS uuid) IS NULL OR id < CAST(:except AS uuid)) AND (
        fp_e1 = ANY(CAST(:tokens AS bytea[])) OR fp_e2 = ANY(CAST(:tokens AS bytea[]))
        OR fp_n1 = ANY(CAST(:tokens AS bytea[]))
        OR file_hashes && CAST(:hashes AS text[]) OR document_references && CAST(:references AS text[])
        OR (fp_pair = ANY(CAST(:tokens AS bytea[])) AND issue_date BETWEEN :first AND :last
            AND face BETWEEN :least AND :most))
    ORDER BY id DESC LIMIT :limit
    """
)


def _sighting(row: Any) -> Sighting:
    return Sighting(
        id=row.id,
        prints=Fingerprints(
            e1=row.fp_e1 or b"",
            e2=row.fp_e2 or b"",
            n1=row.fp_n1 or b"",
            pair=row.fp_pair or b"",
            number_groups=row.number_groups or "",
            file_hashes=tuple(row.file_hashes),
            references=tuple(row.document_references),
        ),
        amount=row.face,
        currency=row.currency,
        issued=row.issue_date,
    )


def _series(session: Session, document: Document, excluding: UUID | None) -> Series:
    """The supplier's other numbers around that time: of invoices made here, and of papers brought from elsewhere."""
    rows = session.execute(
        text(
            "SELECT number_key AS groups, issue_date FROM invoices WHERE seller_id = :seller "
            "AND issue_date BETWEEN :since AND :until AND status NOT IN ('draft', 'void') AND id IS DISTINCT FROM "
            "(SELECT invoice_id FROM financings WHERE id = CAST(:except AS uuid)) "
            "UNION SELECT number_groups, issue_date FROM financings WHERE seller_id = :seller "
            "AND issue_date BETWEEN :since AND :until AND number_groups IS NOT NULL "
            f"AND state NOT IN {_ENDED} AND id IS DISTINCT FROM CAST(:except AS uuid) LIMIT :limit"
        ),
        {
            "seller": document.seller_id,
            "since": document.issued - timedelta(days=SERIES_DAYS),
            "until": document.issued + timedelta(days=DAYS),
            "except": excluding,
            "limit": _MOST_NUMBERS,
        },
    ).all()
    return Series([(row.groups, row.issue_date) for row in rows])


def find(session: Session, document: Document, secret: bytes, *, excluding: UUID | None = None) -> list[Hit]:
    """Every likeness of a document to a financing that has not ended, stops first. `excluding` is its own."""
    prints = fingerprints.of(document, secret)
    mine = Sighting(prints=prints, amount=document.amount, currency=document.currency, issued=document.issued)
    rows = session.execute(
        _CANDIDATES,
        {
            "except": excluding,
            "tokens": array(prints.tokens, "bytea"),
            "hashes": array(prints.file_hashes, "text"),
            "references": array(prints.references, "text"),
            "first": document.issued - timedelta(days=DAYS),
            "last": document.issued + timedelta(days=DAYS),
            # A little wider than the rule, which `compare` applies.
            "least": document.amount * (100 - AMOUNT_PERCENT) // 100,
            "most": document.amount * 100 // (100 - AMOUNT_PERCENT) + 1,
            "limit": _MOST,
        },
    ).all()
    if not rows:
        return []
    series = _series(session, document, excluding)
    hits = [hit for row in rows for hit in compare(mine, _sighting(row), series)]
    return sorted(hits, key=lambda hit: (hit.kind != "stop", hit.level))


def described(session: Session, financing: Financing) -> Document:
    """A financing's invoice as it was submitted, its parties as KYC knows them now."""
    return document(
        session,
        financing.invoice_id,
        buyer_email=financing.buyer_email,
        buyer_id=financing.buyer_id,
        papers=financing.document,
    )


def check(session: Session, financing: Financing, secret: bytes) -> list[Hit]:
    """The same for a financing, which was written already. Its parties are known by what KYC says now."""
    return find(session, described(session, financing), secret, excluding=financing.id)


def is_financed(session: Session, document: Document, secret: bytes) -> bool:
    """Whether an invoice is financed here: yes or no, and nothing of by whom, for how much or since when."""
    prints = fingerprints.of(document, secret)
    return bool(
        session.scalar(
            text(
                f"SELECT EXISTS (SELECT FROM financings WHERE state NOT IN {_UNCONFIRMED} AND "
                "(fp_e1 = ANY(CAST(:tokens AS bytea[])) OR fp_e2 = ANY(CAST(:tokens AS bytea[]))))"
            ),
            {"tokens": array(prints.tokens, "bytea")},
        )
    )
