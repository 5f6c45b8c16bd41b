"""The checks that stop a financing: asked at submission, at acceptance and again when money is about to move.

Duplicates (marketplace rules 2.9) and risk (section 5) answer in two kinds. A stop ends the request, or keeps the
financing from being listed until an operator clears it. A review is a question to an operator: it holds nothing up, and
what the operator upholds is a stop from then on.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime

import psycopg
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from core import kyc, risk
from core.errors import Conflict
from core.marketplace import duplicates
from core.marketplace.rules import Rules
from core.marketplace.states import Financing
from core.risk.assessments import Cause


class DuplicateFinancing(Conflict):
    """The same invoice is financed already. The message says nothing of by whom."""

    code = "duplicate_financing"


class FraudStop(Conflict):
    """A check of the platform stopped the financing until an operator has looked at it."""

    code = "fraud_stop"


# The partial unique indexes over the fingerprints of active financings (migration 0007).
_LAST_LINE = frozenset({"financings_active_e1", "financings_active_e2"})


@contextmanager
def last_line(session: Session) -> Iterator[None]:
    """Around the move that makes a financing active: of two at one moment the second is a DuplicateFinancing."""
    try:
        with session.begin_nested():
            yield
    except IntegrityError as error:
        if isinstance(error.orig, psycopg.Error) and error.orig.diag.constraint_name in _LAST_LINE:
            raise DuplicateFinancing("an invoice with this number is financed already") from error
        raise


def check(
    session: Session,
    financing: Financing,
    rules: Rules,
    now: datetime,
    *,
    at: Cause,
    evidence: Mapping[str, str] | None = None,
) -> None:
    """Look for duplicates and risk; open reviews. Raises DuplicateFinancing for what may never be financed."""
    hits = duplicates.check(session, financing, rules.fingerprint_key)
    if any(hit.kind == "stop" for hit in hits):
        raise DuplicateFinancing("an invoice with this number is financed already")
    risk.assess(session, financing.invoice_id, now, at=at, hits=hits, evidence=dict(evidence or {}))


def require_clear(session: Session, financing: Financing) -> None:
    """Raise FraudStop while a stop of the financing is open, or a review of it was upheld.

    And while its seller's KYC is not verified: money that moves goes to the seller.
    """
    if kyc.state_of(session, financing.seller_id) is not kyc.State.VERIFIED:
        raise FraudStop("the seller's identity (KYC) is not verified any more")
    reasons = risk.open_stops(session, financing.id)
    if reasons:
        raise FraudStop("the platform is looking at this invoice: " + "; ".join(reasons))
