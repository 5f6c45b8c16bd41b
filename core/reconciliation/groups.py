"""Several for one: a line that pays several invoices, and several lines that pay one (rule 8). Pure."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal
from itertools import combinations
from typing import Any

from core.reconciliation.features import Candidate, date_points, share
from core.reconciliation.finding import PayerFound
from core.reconciliation.score import Desk, spelled

# Ways of naming that leave no doubt which invoice is meant.
NAMES = frozenset({"link", "exact", "irn", "compact"})
# A line that names more invoices than this is a list of a kind nobody has seen.
_MOST_NAMED = 50


def named_sum(desk: Desk, place: int, named: Mapping[int, str], payers: Sequence[PayerFound]) -> Candidate | None:
    """That a line pays exactly the invoices its text names, in full or each less the same TDS."""
    places = tuple(sorted(one for one, how in named.items() if how in NAMES))
    if not 2 <= len(places) <= _MOST_NAMED:
        return None
    found = _adding_up(desk, place, places, desk.weights.tds_rates)
    if found is None:
        return None
    amounts, amount, rate = found
    return _group(desk, place, places, amounts, payers, reference="all", amount=amount, rate=rate)


def _adding_up(
    desk: Desk, place: int, places: Sequence[int], rates: Iterable[str]
) -> tuple[tuple[int, ...], str, str | None] | None:
    """What each of these invoices gets of a line that pays all of them: the amounts, how, and the TDS rate."""
    line = desk.book.lines[place]
    invoices = [desk.book.invoices[one] for one in places]
    dues = tuple(invoice.due for invoice in invoices)
    if sum(dues) == line.amount:
        return dues, "sum", None
    if sum(dues) < line.amount or any(invoice.due != invoice.total for invoice in invoices):
        return None
    own = desk.own_rate(invoices[0].contact_id)
    for rate in [own, *map(Decimal, rates)] if own is not None else map(Decimal, rates):
        for bases in ([one.taxable for one in invoices], list(dues)):
            amounts = tuple(due - share(base, rate) for due, base in zip(dues, bases, strict=True))
            if sum(amounts) == line.amount:
                return amounts, "tds_sum", f"{rate.normalize():f}"
    return None


def _group(
    desk: Desk,
    place: int,
    places: Sequence[int],
    amounts: tuple[int, ...],
    payers: Sequence[PayerFound],
    *,
    reference: str,
    amount: str,
    rate: str | None,
) -> Candidate:
    weights, book = desk.weights, desk.book
    line, invoices = book.lines[place], [book.invoices[one] for one in places]
    payer, worth, name = desk.payer(payers, invoices[0].contact_id)
    if len({invoice.contact_id for invoice in invoices}) > 1:
        # One payer for several customers: perhaps a group of companies, and a person's to say.
        payer, worth = "other", weights.payer["other"]
    dated = [date_points(line, invoice, weights) for invoice in invoices]
    points = {
        "reference": weights.reference[reference],
        "amount": weights.amount[amount] if reference == "all" else weights.unnamed_sum,
        "payer": worth,
        "date": sum(one for one, _ in dated) / len(dated),
    }
    features: dict[str, Any] = {
        "rules": weights.version,
        "reference_kind": reference,
        "reference": spelled(invoices) if reference == "all" else None,
        "amount": amount,
        "payer": payer,
        "payer_name": name,
        "amount_due": sum(invoice.due for invoice in invoices),
        "points": {name: round(value, 4) for name, value in points.items() if value},
    }
    if rate is not None:
        features["tds_rate"] = rate
    return Candidate(line=place, invoices=tuple(places), amounts=amounts, raw=sum(points.values()), features=features)


def unnamed_sums(desk: Desk, place: int, payers: Sequence[PayerFound], taken: Mapping[int, int]) -> list[Candidate]:
    """Sets of two or more open invoices of the payer that add up to a line, the best first; bounded.

    At most eight invoices are tried, those due first. `taken` are invoices that other lines pay for sure.
    """
    line, found = desk.book.lines[place], []
    for payer in payers[:1]:
        places = [
            one
            for one in desk.invoices.of(payer.contact_id, line.currency)
            if one not in taken and desk.book.invoices[one].due < line.amount
        ]
        places.sort(key=lambda one: (desk.book.invoices[one].due_date, desk.book.invoices[one].number))
        places = places[: desk.weights.most_in_sum]
        for size in range(2, len(places) + 1):
            for chosen in combinations(places, size):
                added = _adding_up(desk, place, chosen, ())
                if added is not None:
                    amounts, amount, rate = added
                    found.append(
                        _group(desk, place, chosen, amounts, payers, reference="none", amount=amount, rate=rate)
                    )
    found.sort(key=lambda one: (-one.raw, len(one.invoices), one.invoices))
    if len(found) > 1:
        for one in found:
            one.raw -= desk.weights.tie_costs
    return found


def shares(desk: Desk, singles: Mapping[int, Sequence[Candidate]]) -> dict[int, Candidate]:
    """Lines that each name the same invoice and together pay what is due of it exactly: line → its share."""
    claims: dict[int, list[Candidate]] = defaultdict(list)
    for candidates in singles.values():
        for one in candidates:
            if one.features["amount"] == "part" and one.features["reference_kind"] in NAMES:
                claims[one.invoices[0]].append(one)
    found: dict[int, Candidate] = {}
    for invoice, ones in claims.items():
        due = desk.book.invoices[invoice].due
        if len(ones) < 2 or sum(one.amounts[0] for one in ones) != due or any(one.line in found for one in ones):
            continue
        for one in ones:
            more = desk.weights.amount["shares"] - desk.weights.amount["part"]
            points = {**one.features["points"], "amount": desk.weights.amount["shares"]}
            features = {**one.features, "amount": "shares", "points": points}
            found[one.line] = Candidate(
                line=one.line, invoices=one.invoices, amounts=one.amounts, raw=one.raw + more, features=features
            )
    return found
