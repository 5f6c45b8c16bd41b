"""GSTIN: the number of a GST registration, 15 characters with a check character (marketplace rules 2.10).

State code (2), PAN (10), entity number (1), mostly Z (1), check character (1). United Nations bodies,
non-residents, online services from abroad, deductors and collectors of tax, and government departments have
shapes of their own: they are parties like any other, and most of them carry no PAN.
Shapes: resilient-tech/india-compliance, gst_india/constants, checked 2026-11.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum

from core.errors import Invalid
from core.taxids import pan as pans

LENGTH = 15
_ALPHABET = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ"
_BASE = len(_ALPHABET)


class Kind(StrEnum):
    """What sort of registration a GSTIN is."""

    REGULAR = "regular"
    GOVERNMENT = "government"
    TDS = "tax_deductor"
    TCS = "tax_collector"
    UN_BODY = "un_body"
    NON_RESIDENT = "non_resident"
    OIDAR = "online_service_from_abroad"


# The first that fits decides: a deductor's number has the shape of a regular one with a D in it.
_SHAPES: tuple[tuple[Kind, re.Pattern[str]], ...] = (
    (Kind.UN_BODY, re.compile(r"\d{4}[A-Z]{3}\d{5}[UO]N[0-9A-Z]", re.ASCII)),
    (Kind.OIDAR, re.compile(r"99\d{2}[A-Z]{3}\d{5}OS[0-9A-Z]", re.ASCII)),
    (Kind.NON_RESIDENT, re.compile(r"\d{4}[A-Z]{3}\d{5}NR[0-9A-Z]", re.ASCII)),
    (Kind.GOVERNMENT, re.compile(r"\d{2}[A-Z]{4}\d{5}[A-Z]\dZ[0-9A-Z]", re.ASCII)),
    (Kind.TDS, re.compile(r"\d{2}[A-Z]{4}[0-9A-Z]\d{4}[A-Z][1-9A-Z]D[0-9A-Z]", re.ASCII)),
    (Kind.TCS, re.compile(r"\d{2}[A-Z]{5}\d{4}[A-Z][1-9A-Z]C[0-9A-Z]", re.ASCII)),
    (Kind.REGULAR, re.compile(r"\d{2}[A-Z]{5}\d{4}[A-Z][1-9A-Z][Z1-9ABE-J][0-9A-Z]", re.ASCII)),
)

STATES = {
    "01": "Jammu and Kashmir", "02": "Himachal Pradesh", "03": "Punjab", "04": "Chandigarh", "05": "Uttarakhand",
    "06": "Haryana", "07": "Delhi", "08": "Rajasthan", "09": "Uttar Pradesh", "10": "Bihar", "11": "Sikkim",
    "12": "Arunachal Pradesh", "13": "Nagaland", "14": "Manipur", "15": "Mizoram", "16": "Tripura",
    "17": "Meghalaya", "18": "Assam", "19": "West Bengal", "20": "Jharkhand", "21": "Odisha", "22": "Chhattisgarh",
    "23": "Madhya Pradesh", "24": "Gujarat",
    # 25 and 28 are of before 2020 and 2014; numbers given out then are still written.
    "25": "Daman and Diu", "26": "Dadra and Nagar Haveli and Daman and Diu", "27": "Maharashtra",
    "28": "Andhra Pradesh (before division)", "29": "Karnataka", "30": "Goa", "31": "Lakshadweep", "32": "Kerala",
    "33": "Tamil Nadu", "34": "Puducherry", "35": "Andaman and Nicobar Islands", "36": "Telangana",
    "37": "Andhra Pradesh", "38": "Ladakh", "96": "Other country", "97": "Other territory",
    "99": "Centre jurisdiction",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Gstin:
    """A GSTIN whose shape and check character are right."""

    text: str
    kind: Kind

    @property
    def state_code(self) -> str:
        """The two digits of the state that registered it; of a UN body or non-resident too."""
        return self.text[:2]

    @property
    def state(self) -> str:
        """The state in words."""
        return STATES[self.state_code]

    @property
    def pan(self) -> str | None:
        """The PAN inside, or None for the kinds that carry none (a deductor may stand under its TAN)."""
        inside = self.text[2:12]
        return inside if self.kind in (Kind.REGULAR, Kind.TDS, Kind.TCS) and pans.has_shape(inside) else None


def clean(text: str) -> str:
    """A GSTIN as typed, in capitals and without spaces."""
    return "".join(text.split()).upper()


def check_character(first: str) -> str:
    """The 15th character that belongs to the first 14, in capitals.

    Values 0-9, A-Z are 0-35, times 1, 2, 1, 2, ... from the left; of each product quotient and remainder by 36
    are added up. The outer remainder matters: without it a sum that 36 divides has no character.

    >>> check_character("27AAPFU0939F1Z"), check_character("29AAFCC9980M1Z")
    ('V', 'R')
    """
    products = (_ALPHABET.index(character) * (1 + place % 2) for place, character in enumerate(first[: LENGTH - 1]))
    total = sum(sum(divmod(product, _BASE)) for product in products)
    return _ALPHABET[(_BASE - total % _BASE) % _BASE]


def parse(text: str, field: str = "gstin") -> Gstin:
    """A GSTIN as it was typed. Raises Invalid, in words that say what is wrong with it."""
    cleaned = clean(text)
    kind = next((kind for kind, shape in _SHAPES if shape.fullmatch(cleaned)), None)
    if kind is None:
        raise Invalid(field, "is not a GSTIN: 15 characters such as 27AAPFU0939F1ZV")
    if cleaned[:2] not in STATES:
        raise Invalid(field, f"begins with {cleaned[:2]}, which is no state code")
    if check_character(cleaned) != cleaned[-1]:
        raise Invalid(field, "has a wrong check character: one of its characters is mistyped")
    return Gstin(cleaned, kind)
