"""Stops and reviews: duplicates, identities, circles, dates and documents that cannot be.

They are never turned into points. A stop keeps the invoice off the market until an operator decides; an exact
duplicate (E1, E2) keeps it off for good. A review asks an operator to look, and blocks nothing meanwhile.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import date, timedelta

from core.risk.facts import History, Hit
from core.risk.findings import Finding, Kind, Other, plural
from core.risk.statistics import shortest_way
from core.risk.weights import Weights

_IDENTITIES = {"pan": "PAN", "bank_account": "bank account", "phone": "telephone number", "device": "device"}


def _others(hits: tuple[Hit, ...]) -> tuple[Other, ...]:
    """One entry an invoice, with every level it was hit on."""
    found: dict[str, list[Hit]] = {}
    for hit in hits:
        found.setdefault(hit.invoice_id, []).append(hit)
    return tuple(
        Other(
            invoice_id=identity,
            number=same[0].number,
            says=" ".join(f"{hit.level.value}: {hit.sentence}" for hit in same)
            + (f" Its financing: {same[0].state.replace('_', ' ')}." if same[0].state else ""),
        )
        for identity, same in found.items()
    )


def _duplicate(code: str, kind: Kind, hits: tuple[Hit, ...]) -> Finding | None:
    if not hits:
        return None
    others = _others(hits)
    more = f" So it is with {plural(len(others) - 1, 'more invoice')}." if len(others) > 1 else ""
    return Finding(
        code=code,
        kind=kind,
        sentence=f"{hits[0].sentence}{more}",
        values={
            "levels": sorted({hit.level.value for hit in hits}),
            "invoices": [
                {"number": hit.number, "level": hit.level.value, "amount": hit.amount, "issued": hit.issued.isoformat()}
                for hit in hits
            ],
        },
        evidence=",".join(sorted(f"{hit.level.value}:{hit.invoice_id}" for hit in hits)),
        hard=code == "D1",
        others=others,
    )


def exact_duplicate(history: History, _weights: Weights) -> Finding | None:
    """D1: E1 or E2, any."""
    hits = tuple(hit for hit in history.hits if hit.level.exact)
    return _duplicate("D1", Kind.STOP, hits)


def without_exact(history: History, _weights: Weights) -> tuple[str, History]:
    """The remedy of D1."""
    return "it had not been brought for financing before", replace(
        history, hits=tuple(hit for hit in history.hits if not hit.level.exact)
    )


def near_duplicate(history: History, _weights: Weights) -> Finding | None:
    """D2: N1 to N4, any; always a review, never a refusal."""
    hits = tuple(hit for hit in history.hits if not hit.level.exact)
    return _duplicate("D2", Kind.REVIEW, hits)


def without_near(history: History, _weights: Weights) -> tuple[str, History]:
    """The remedy of D2."""
    return "no other financed invoice looked like it", replace(
        history, hits=tuple(hit for hit in history.hits if hit.level.exact)
    )


def shared_identity(history: History, _weights: Weights) -> Finding | None:
    """C3: seller, buyer or investor have a PAN, bank account, telephone, device or address in common."""
    if not history.shared:
        return None
    said = [
        f"{one.first} and {one.second} have the same {_IDENTITIES.get(one.kind, one.kind)}" for one in history.shared
    ]
    sentence = "; ".join(said)
    return Finding(
        code="C3",
        kind=Kind.STOP,
        sentence=f"{sentence[:1].upper()}{sentence[1:]}.",
        values={"shared": [{"kind": one.kind, "parties": [one.first, one.second]} for one in history.shared]},
        evidence=",".join(sorted(f"{one.kind}:{one.first}:{one.second}" for one in history.shared)),
    )


def without_shared(history: History, _weights: Weights) -> tuple[str, History]:
    """The remedy of C3."""
    return "the parties had nothing in common", replace(history, shared=())


def circular_trade(history: History, weights: Weights) -> Finding | None:
    """C4: recent invoices lead from the buyer back to the seller."""
    edges: dict[str, list[str]] = {}
    for source, target in history.trades:
        edges.setdefault(source, []).append(target)
    way = shortest_way(edges, history.buyer, history.seller, weights.circle_longest)
    if not way:
        return None
    circle = [history.seller, *way]
    return Finding(
        code="C4",
        kind=Kind.REVIEW,
        sentence=f"Invoices of the last {weights.circle_days} days lead from the buyer back to the seller, in "
        f"{plural(len(way), 'step')}.",
        values={"circle": circle, "days": weights.circle_days},
        evidence=">".join(circle),
    )


def without_circle(history: History, _weights: Weights) -> tuple[str, History]:
    """The remedy of C4."""
    back = tuple(edge for edge in history.trades if edge[1] != history.seller)
    return "nobody who owes by this chain sold to the seller", replace(history, trades=back)


def _latest_day(history: History) -> date:
    """The day it is where the day begins first (UTC+14): nobody's today is a future date."""
    return (history.now + timedelta(hours=14)).date()


def future_invoice(history: History, _weights: Weights) -> Finding | None:
    """T2, the part that stops: it is dated after the day on which it is brought."""
    ahead = (history.issued - _latest_day(history)).days
    if ahead <= 0:
        return None
    return Finding(
        code="T2",
        kind=Kind.STOP,
        sentence=f"It is dated {history.issued.isoformat()}, which is {plural(ahead, 'day')} away.",
        values={"issued": history.issued.isoformat(), "days": -ahead},
        evidence=history.issued.isoformat(),
    )


def dated_today(history: History, _weights: Weights) -> tuple[str, History]:
    """The remedy of T2's stop."""
    return "it were dated today", replace(history, issued=history.today, due=max(history.due, history.today))


def redated(history: History, weights: Weights) -> Finding | None:
    """T3: the same content under a later date, after the earlier one was taken back or fell overdue."""
    earlier = [one for one in history.redated if (history.issued - one.issued).days >= weights.redate_days]
    if not earlier:
        return None
    oldest = min(earlier, key=lambda one: one.issued)
    return Finding(
        code="T3",
        kind=Kind.STOP,
        sentence=f"It says word for word what {oldest.number} said on {oldest.issued.isoformat()}, "
        f"{plural((history.issued - oldest.issued).days, 'day')} earlier, which was never paid.",
        values={"earlier": [{"number": one.number, "issued": one.issued.isoformat()} for one in earlier]},
        evidence=",".join(sorted(one.invoice_id for one in earlier)),
        others=tuple(
            Other(invoice_id=one.invoice_id, number=one.number, says=f"the same content on {one.issued.isoformat()}")
            for one in earlier
        ),
    )


def without_redated(history: History, _weights: Weights) -> tuple[str, History]:
    """The remedy of T3."""
    return "no earlier unpaid invoice said the same", replace(history, redated=())


def tax_document(history: History, _weights: Weights) -> Finding | None:
    """G1: check characters, tax arithmetic, IRN, signed QR, length of HSN codes; any that fails."""
    failed = [check for check in history.checks if check.passed is False]
    if not failed:
        return None
    return Finding(
        code="G1",
        kind=Kind.STOP,
        sentence=" ".join(check.detail or f"{check.name} does not hold." for check in failed),
        values={check.name: check.passed for check in history.checks},
        evidence=",".join(sorted(check.name for check in failed)),
    )


def sound_document(history: History, _weights: Weights) -> tuple[str, History]:
    """The remedy of G1."""
    return "the document were sound", replace(
        history, checks=tuple(replace(check, passed=check.passed is not None or None) for check in history.checks)
    )


def hasty_confirmation(history: History, weights: Weights) -> Finding | None:
    """K1: the buyer accepted within a minute of the upload and from the same address."""
    given = history.confirmation
    if given is None or not given.same_address or given.seconds >= weights.confirmation_seconds:
        return None
    return Finding(
        code="K1",
        kind=Kind.REVIEW,
        sentence=f"The buyer confirmed {given.seconds:.0f} seconds after the upload, from the seller's address "
        "on the internet.",
        values={"seconds": round(given.seconds, 1), "same_address": True},
        evidence="hasty",
    )


def without_haste(history: History, _weights: Weights) -> tuple[str, History]:
    """The remedy of K1."""
    return "the buyer had confirmed from somewhere else", replace(history, confirmation=None)
