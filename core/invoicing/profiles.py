"""A seller's business: what stands on their invoices, and how these are made."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.orm import Session

from core import audit, kyc
from core.edits import check_version
from core.errors import Forbidden, Invalid
from core.identity import Actor, Role
from core.invoicing.totals import Regime
from core.money import exponent
from core.taxids import gstin as gstins

_TEXTS: Final = {
    "legal_name": 200,
    "address": 1000,
    "default_terms": 5000,
    "default_notes": 5000,
    "bank_name": 100,
    "bank_account": 40,
    "bank_code": 20,
    "upi_id": 100,
}
MAX_DAYS: Final = 365
_UPI = re.compile(r"[A-Za-z0-9._-]{2,64}@[A-Za-z][A-Za-z0-9.-]{1,30}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """A business as it is set up; without a word from its owner, these defaults.

    `tax_regime` gst needs `gstin` and `state_code`. `hsn_digits` are those the turnover asks for. `payment_days` are
    days to pay. `version` 0: nothing was set up yet.
    """

    legal_name: str = ""
    address: str = ""
    tax_regime: Regime = "plain"
    gstin: str | None = None
    state_code: str | None = None
    hsn_digits: int = 4
    home_currency: str = "INR"
    payment_days: int = 30
    default_terms: str = ""
    default_notes: str = ""
    bank_name: str = ""
    bank_account: str = ""
    bank_code: str = ""
    upi_id: str = ""
    round_total: bool = False
    match_automatically: bool = True
    version: int = 0

    def plain(self) -> dict[str, Any]:
        """The same as JSON."""
        return asdict(self)


FIELDS: Final = tuple(field.name for field in fields(Profile) if field.name != "version")
_READ = f"SELECT {', '.join(FIELDS)}, version FROM business_profiles WHERE user_id = :user"


def profile(session: Session, user_id: UUID) -> Profile:
    """The business of a seller; the defaults where none is set up."""
    row = session.execute(text(_READ), {"user": user_id}).one_or_none()
    return Profile() if row is None else Profile(**row._asdict())


def name_of(session: Session, user_id: UUID, known: Profile) -> str:
    """What a business is called on its documents."""
    row = session.execute(text("SELECT name, organisation FROM users WHERE id = :user"), {"user": user_id}).one()
    return str(known.legal_name or row.organisation or row.name)


def supplier(session: Session, user_id: UUID, known: Profile) -> dict[str, Any]:
    """The seller's side of a document."""
    return {
        "name": name_of(session, user_id, known),
        "address": known.address,
        "gstin": known.gstin,
        "state_code": known.state_code,
    }


def _clean(given: Mapping[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for field, value in given.items():
        if field not in FIELDS:
            raise Invalid(field, "is no field of a business")
        found[field] = value.strip() if field in _TEXTS else value
        if field in _TEXTS and len(found[field]) > _TEXTS[field]:
            raise Invalid(field, f"must have at most {_TEXTS[field]} characters")
    _check(Profile(**found))
    return found


def _check(given: Profile) -> None:
    """What can be told of each field by itself."""
    if given.upi_id and not _UPI.fullmatch(given.upi_id):
        raise Invalid("upi_id", "is not a UPI address such as shop@okbank")
    if given.tax_regime not in {"plain", "gst"}:
        raise Invalid("tax_regime", "must be plain or gst")
    if given.hsn_digits not in {4, 6}:
        raise Invalid("hsn_digits", "must be 4 or 6")
    if type(given.payment_days) is not int or not 0 <= given.payment_days <= MAX_DAYS:
        raise Invalid("payment_days", f"must be 0 to {MAX_DAYS} days")
    try:
        exponent(given.home_currency)
    except Invalid as error:
        raise Invalid("home_currency", error.message) from error


def _registered(session: Session, user_id: UUID, wanted: Profile, given: Mapping[str, Any]) -> dict[str, Any]:
    """GSTIN and state, which must fit each other, the regime, and the PAN of the KYC (marketplace rules 2.10)."""
    number = gstins.parse(wanted.gstin) if wanted.gstin else None
    state = wanted.state_code or None
    if state and state not in gstins.STATES:
        raise Invalid("state_code", "is no state code of GST, such as 27")
    if number is not None:
        if state and state != number.state_code and "state_code" in given:
            raise Invalid("state_code", f"is {state}, and the GSTIN is of {number.state_code}")
        state = number.state_code
        known = kyc.numbers(session, user_id)
        if known is not None and number.pan and known.pan != number.pan:
            raise Invalid("gstin", "holds another PAN than the one of your KYC")
    elif wanted.tax_regime == "gst":
        raise Invalid("gstin", "a business under GST has a GSTIN")
    return {"gstin": number.text if number else None, "state_code": state}


def save(
    session: Session, actor: Actor, changes: Mapping[str, Any], now: datetime, *, expected_version: int | None = None
) -> Profile:
    """Change some FIELDS of the actor's business and return it. Invoices that were issued stay as they are.

    Writing what is there already changes nothing. Raises Forbidden, Invalid naming the field, and StaleEdit when it
    is not at `expected_version` any more.
    """
    if actor.role is not Role.SELLER:
        raise Forbidden("only sellers have a business that makes invoices")
    session.execute(
        text(
            "INSERT INTO business_profiles (user_id, version, updated_at) VALUES (:user, 0, :now) "
            "ON CONFLICT DO NOTHING"
        ),
        {"user": actor.id, "now": now},
    )
    row = session.execute(text(f"{_READ} FOR UPDATE"), {"user": actor.id}).one()
    before = Profile(**row._asdict())
    check_version(session, "business", actor.id, expected=expected_version, actual=before.version)
    values = _clean(changes)
    values |= _registered(session, actor.id, Profile(**{**before.plain(), **values}), values)
    different = {name: value for name, value in values.items() if value != getattr(before, name)}
    if not different:
        return before
    session.execute(
        text(
            f"UPDATE business_profiles SET {', '.join(f'{name} = :{name}' for name in different)}, "
            "version = version + 1, updated_at = :now WHERE user_id = :user"
        ),
        {**different, "user": actor.id, "now": now},
    )
    data = {"changes": {name: [getattr(before, name), value] for name, value in different.items()}}
    audit.record(session, actor, "business.updated", "business", actor.id, data, now)
    return profile(session, actor.id)
