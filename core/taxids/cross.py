"""Whether the numbers of an invoice's two parties can be true together (marketplace rules 2.10, G1 of 5)."""

from __future__ import annotations

from dataclasses import dataclass

from core.errors import Invalid
from core.taxids import gstin as gstins


@dataclass(frozen=True, slots=True, kw_only=True)
class Party:
    """What is known of one side. `pan` is the one of its KYC, `state_code` the one of its address."""

    gstin: str | None = None
    pan: str | None = None
    state_code: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """Something that cannot be so. `code` never changes its meaning; `sentence` is for people."""

    code: str
    field: str
    sentence: str


def _parsed(party: Party, side: str, found: list[Finding]) -> gstins.Gstin | None:
    if not party.gstin:
        return None
    try:
        return gstins.parse(party.gstin)
    except Invalid as error:
        found.append(
            Finding(code="gstin_invalid", field=f"{side}_gstin", sentence=f"The {side}'s GSTIN {error.message}.")
        )
        return None


def identity(party: Party) -> str | None:
    """The PAN a party is known by: of its KYC, else of its GSTIN. None without either, or with an unreadable one."""
    if party.pan:
        return party.pan
    if not party.gstin:
        return None
    try:
        return gstins.parse(party.gstin).pan
    except Invalid:
        return None


def check(seller: Party, buyer: Party) -> list[Finding]:
    """Everything that cannot be so; empty for parties that fit, and for those of whom nothing is known."""
    found: list[Finding] = []
    for side, party in (("seller", seller), ("buyer", buyer)):
        parsed = _parsed(party, side, found)
        if parsed is None:
            continue
        if party.pan and parsed.pan and parsed.pan != party.pan:
            found.append(
                Finding(
                    code="pan_differs",
                    field=f"{side}_gstin",
                    sentence=f"The PAN inside the {side}'s GSTIN is not the one of the {side}'s KYC.",
                )
            )
        if party.state_code and parsed.state_code != party.state_code:
            address = gstins.STATES.get(party.state_code, party.state_code)
            found.append(
                Finding(
                    code="state_differs",
                    field=f"{side}_gstin",
                    sentence=f"The {side}'s GSTIN is of {parsed.state}, the address is in {address}.",
                )
            )
    mine, theirs = identity(seller), identity(buyer)
    if mine and mine == theirs:
        found.append(
            Finding(code="same_pan", field="buyer_gstin", sentence="Seller and buyer have the same PAN: one taxpayer.")
        )
    return found
