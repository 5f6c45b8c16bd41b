"""What speaks for a line being the payment of an invoice, as features with points. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal
from itertools import islice
from typing import Any
from uuid import UUID

from core.reconciliation.features import Book, Candidate, Line, OpenInvoice, date_points, relation
from core.reconciliation.finding import Invoices, PayerFound, Payers
from core.reconciliation.weights import Weights

# So many invoices are looked at that share nothing but the amount with a line, and so many of a payer for near names.
_MOST_BY_AMOUNT = 5
_MOST_NEAR = 200
# Ways of recognising a payer that leave no doubt whose customer it is.
_RECOGNISED = frozenset({"given", "account", "remembered", "known_name", "name"})


class Desk:
    """One judgement at work: the book with its indexes."""

    def __init__(self, book: Book, weights: Weights) -> None:
        self.book, self.weights = book, weights
        self.invoices = Invoices(book.invoices)
        self.payers = Payers(book, weights)

    def candidates(self, place: int) -> tuple[list[Candidate], list[PayerFound], dict[int, str]]:
        """Every single invoice that a line may pay, the best first; who may have paid; what the text names."""
        line = self.book.lines[place]
        named = self.invoices.named(line)
        payers = self.payers.of(line)
        unknown = not named and self.invoices.names_unknown(line)
        near = self._near(line, payers) if not named or self._misspelt(line, named, payers) else {}
        looked = dict.fromkeys([*named, *near])
        for payer in payers:
            looked.update(dict.fromkeys(self.invoices.expecting(payer.contact_id, line.currency, line.amount)))
        if not looked:
            same = self.invoices.by_due.get((line.currency, line.amount), ())
            looked.update(dict.fromkeys(islice(same, _MOST_BY_AMOUNT)))
        found = []
        for one in looked:
            how = named.get(one) or near.get(one) or ("other" if named or unknown else "none")
            candidate = self.judge(place, one, how, payers)
            if candidate is not None:
                found.append(candidate)
        found.sort(key=lambda candidate: (-candidate.raw, self.book.invoices[candidate.invoices[0]].due_date))
        return found, payers, named

    def _misspelt(self, line: Line, named: Mapping[int, str], payers: Sequence[PayerFound]) -> bool:
        """Whether what the text names is another customer's and of another amount: one digit off, most likely."""
        ours = {payer.contact_id for payer in payers}
        invoices = [self.book.invoices[place] for place in named]
        return bool(ours) and all(one.contact_id not in ours and one.due != line.amount for one in invoices)

    def _near(self, line: Line, payers: Sequence[PayerFound]) -> dict[int, str]:
        places = [
            place for payer in payers for place in islice(self.invoices.of(payer.contact_id, line.currency), _MOST_NEAR)
        ]
        places += islice(self.invoices.by_due.get((line.currency, line.amount), ()), _MOST_BY_AMOUNT)
        return self.invoices.near(line, places)

    def judge(self, place: int, one: int, how: str, payers: Sequence[PayerFound]) -> Candidate | None:
        """A line and an invoice with their features; None where nothing but a part of the amount speaks for it."""
        line, invoice, weights = self.book.lines[place], self.book.invoices[one], self.weights
        own = self.own_rate(invoice.contact_id)
        amount, rate = relation(line, invoice, own, weights)
        if amount in ("part", "over", "fee") and how in ("none", "other"):
            return None
        if amount in ("part", "over") and how in ("near", "serial"):
            return None
        features: dict[str, Any] = {"rules": weights.version, "reference_kind": how, "amount": amount}
        points = {"reference": weights.reference[how], "amount": weights.amount[amount]}
        if rate is not None:
            features["tds_rate"] = rate
        payer, worth, name = self.payer(payers, invoice.contact_id)
        features["payer"], features["payer_name"], points["payer"] = payer, name, worth
        points["date"], features["days"] = date_points(line, invoice, weights)
        if amount in ("exact", "confirmed", "tds_own") and self.is_distinct(line, one, payer):
            features["distinct"], points["distinct"] = True, weights.distinct
        features["reference"] = invoice.number if how not in ("none", "other") else None
        features["amount_due"] = invoice.due
        features["points"] = {name: round(value, 4) for name, value in points.items() if value}
        return Candidate(
            line=place,
            invoices=(one,),
            amounts=(line.amount,),
            raw=sum(points.values()),
            features=features,
        )

    def own_rate(self, contact_id: UUID) -> Decimal | None:
        """The TDS that a customer is known to deduct, in per cent."""
        contact = self.book.contacts.get(contact_id)
        return None if contact is None else contact.tds_rate

    def payer(self, payers: Sequence[PayerFound], contact_id: UUID) -> tuple[str, float, str]:
        """How the payer of a line fits a customer: the feature, its points, and whose name that is."""
        weights = self.weights
        for payer in payers:
            if payer.contact_id == contact_id:
                worth = weights.payer[payer.how]
                if payer.how == "similar":
                    span = 100.0 - weights.least_likeness
                    worth *= 0.5 + 0.5 * (payer.likeness - weights.least_likeness) / span
                return payer.how, worth, self._name(contact_id)
        if payers and payers[0].how != "similar":
            return "other", weights.payer["other"], self._name(payers[0].contact_id)
        return "unknown", weights.payer["unknown"], self._name(contact_id)

    def _name(self, contact_id: UUID) -> str:
        contact = self.book.contacts.get(contact_id)
        return "" if contact is None else contact.name

    def is_distinct(self, line: Line, one: int, payer: str) -> bool:
        """Whether no other open invoice is due with exactly this amount: of the customer, where that is sure."""
        same = self.invoices.by_due.get((line.currency, line.amount), ())
        if payer in _RECOGNISED:
            contact_id = self.book.invoices[one].contact_id
            others = self.invoices.due_with(contact_id, line.currency, line.amount)
            return others - (self.book.invoices[one].due == line.amount) == 0
        return all(other == one for other in islice(same, 2))


def spelled(invoices: Iterable[OpenInvoice]) -> str:
    """The numbers of invoices, for a sentence."""
    numbers = [invoice.number for invoice in invoices]
    return numbers[0] if len(numbers) == 1 else f"{', '.join(numbers[:-1])} and {numbers[-1]}"


def alternatives(
    candidates: Sequence[Candidate], chosen: Candidate | None, invoices: Sequence[OpenInvoice], least: float
) -> list[dict[str, Any]]:
    """The next best answers, at most three, as they are stored beside a match."""
    shown: list[Mapping[str, Any]] = [
        {
            "invoices": [str(invoices[place].id) for place in one.invoices],
            "numbers": [invoices[place].number for place in one.invoices],
            "score": round(one.score, 3),
            "features": one.features,
        }
        for one in candidates
        if one.score >= least and (chosen is None or one.invoices != chosen.invoices)
    ]
    return [dict(one) for one in shown[:3]]
