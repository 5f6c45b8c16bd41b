"""Why a line is taken for a payment, in sentences a person can check."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

_REFERENCES = {
    "exact": "The bank's text names {reference}",
    "irn": "The bank's text holds the IRN of {reference}",
    "link": "It came through the payment link of {reference}",
    "compact": "The bank's text names {reference}, spelled without marks",
    "near": "The bank's text names something one character away from {reference}",
    "serial": "The bank's text holds the running number of {reference}",
    "all": "The bank's text names each of {reference}",
    "other": "The bank's text names another invoice",
}
_AMOUNTS = {
    "exact": "The amount is exactly what is due",
    "confirmed": "The amount is exactly what the buyer confirmed",
    "tds_own": "The amount is what is due less {tds_rate} % TDS, as this customer deducts it",
    "tds": "The amount is what is due less {tds_rate} % TDS",
    "fee": "The amount is what is due less a bank's charge",
    "part": "The amount is a part of what is due",
    "over": "The amount is more than what is due",
    "sum": "The amounts due of these invoices add up to it exactly",
    "tds_sum": "The amounts due of these invoices less {tds_rate} % TDS add up to it exactly",
    "shares": "Together with the other lines that name it, it pays what is due exactly",
}
_PAYERS = {
    "given": "It came by an account or address that was given to {payer} alone",
    "account": "It came from an account or address of {payer}",
    "remembered": "{payer} paid from this account or address before",
    "known_name": "{payer} paid under this name before",
    "name": "The payer's name is that of {payer}",
    "similar": "The payer's name is like that of {payer}",
    "other": "The payer looks like somebody else: {payer}",
}
_NOBODY = {"other": "another customer"}
_STOPS = {
    "tie": "Another answer is as good: somebody has to choose",
    "margin": "Another answer is nearly as good",
    "payer": "The payer does not look like this customer",
    "short": "Less came than was due: say why",
    "over": "More came than is due: the rest stays the customer's credit",
    "unnamed_sum": "Several invoices add up to it, and the bank's text does not name them",
    "undone": "Somebody took this match back before",
    "review": "A review holds this invoice",
    "word": "Investors wait for its money, and a line that was uploaded repays nobody: the bank's own line does",
}
_SUBJECTS = {
    "booked_reference": "A payment of this amount with the same bank reference was booked already",
    "booked_day": "A payment of this amount was booked already within a few days",
    "payout_reference": "A payout of the gateway has this bank reference",
    "payout_day": "A payout of the gateway has this amount, within a few days",
}


def reasons(features: Mapping[str, Any]) -> list[str]:
    """The features of a match as sentences, the strongest first. What has no words is left out."""
    names = {
        "reference": str(features.get("reference") or "an invoice"),
        "tds_rate": str(features.get("tds_rate") or ""),
        "payer": str(features.get("payer_name") or _NOBODY.get(str(features.get("payer")), "this customer")),
    }
    # Matches of earlier rules say which invoice is named and not how.
    how = features.get("reference_kind") or ("exact" if features.get("reference") else "")
    found = [
        _SUBJECTS.get(str(features.get("subject"))),
        _REFERENCES.get(str(how)),
        _AMOUNTS.get(str(features.get("amount"))),
        _PAYERS.get(str(features.get("payer"))),
        _date(features.get("days")),
        "No other open invoice fits this amount" if features.get("distinct") else None,
        "A person decided it" if features.get("rules") == "by hand" else None,
    ]
    return [sentence.format_map(names) for sentence in found if sentence]


def stops(features: Mapping[str, Any]) -> list[str]:
    """Why the engine does not decide it by itself, as sentences."""
    return [_STOPS[stop] for stop in features.get("stops") or [] if stop in _STOPS]


def _date(days: object) -> str | None:
    if not isinstance(days, int):
        return None
    if days == 0:
        return "It came on the due date"
    count = f"{abs(days)} day{'' if abs(days) == 1 else 's'}"
    return f"It came {count} {'after' if days > 0 else 'before'} the due date"
