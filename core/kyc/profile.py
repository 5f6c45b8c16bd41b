"""What a person says of themselves, and what must be true of it to be looked at at all. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from core.errors import Invalid
from core.taxids import gstin, pan, udyam

MAX_NAME = 200
_WORDS = {
    "individual": "Individual",
    "proprietorship": "Sole proprietorship",
    "partnership": "Partnership firm",
    "llp": "Limited liability partnership",
    "company": "Company",
    "huf": "Hindu undivided family",
    "trust": "Trust",
    "aop": "Association of persons",
    "boi": "Body of individuals",
    "local_authority": "Local authority",
    "juridical_person": "Other juridical person",
    "government": "Government body",
}
CONSTITUTIONS = {name: _WORDS[name] for name in pan.CONSTITUTIONS}


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """A KYC profile. Numbers are in their clean form; `account_name` is whose name the bank account is in."""

    legal_name: str
    constitution: str
    pan: str
    account_name: str
    gstin: str | None = None
    udyam: str | None = None


def _name(value: str, field: str) -> str:
    cleaned = " ".join(value.split())
    if not 0 < len(cleaned) <= MAX_NAME:
        raise Invalid(field, f"must have 1 to {MAX_NAME} characters")
    return cleaned


def clean(
    *, legal_name: str, constitution: str, pan_text: str, account_name: str, gstin_text: str = "", udyam_text: str = ""
) -> Profile:
    """A profile as typed, cleaned. Raises Invalid for what is no such number at all.

    Whether the numbers fit each other and the name is not decided here: an operator sees that (core.kyc.checks).
    """
    if constitution not in CONSTITUTIONS:
        raise Invalid("constitution", f"must be one of {', '.join(CONSTITUTIONS)}")
    return Profile(
        legal_name=_name(legal_name, "legal_name"),
        constitution=constitution,
        pan=pan.parse(pan_text),
        account_name=_name(account_name, "account_name"),
        gstin=gstin.parse(gstin_text).text if gstin_text.strip() else None,
        udyam=udyam.parse(udyam_text) if udyam_text.strip() else None,
    )
