"""PAN: the number of a taxpayer, five letters, four digits, one letter (marketplace rules 2.11).

The fourth letter says what the holder is, the fifth is the first letter of the surname (a person) or of the name
(everybody else). No public rule for the last letter is known, so it proves nothing.
"""

from __future__ import annotations

import re

from core.errors import Invalid

_SHAPE = re.compile(r"[A-Z]{3}[ABCFGHJLPT][A-Z][0-9]{4}[A-Z]")

HOLDERS = {
    "A": "association of persons",
    "B": "body of individuals",
    "C": "company",
    "F": "firm or LLP",
    "G": "government",
    "H": "Hindu undivided family",
    "J": "juridical person",
    "L": "local authority",
    "P": "person",
    "T": "trust",
}
# What people say they are, and the holder letter that goes with it.
CONSTITUTIONS = {
    "individual": "P",
    # A proprietor has no number beside the person's own.
    "proprietorship": "P",
    "partnership": "F",
    "llp": "F",
    "company": "C",
    "huf": "H",
    "trust": "T",
    "aop": "A",
    "boi": "B",
    "local_authority": "L",
    "juridical_person": "J",
    "government": "G",
}
# "M/s Rao Retail" and "The Rao Company" are filed under R.
_TITLES = frozenset({"m/s", "ms", "mr", "mrs", "dr", "shri", "smt", "the", "kumari"})
_WORD = re.compile(r"[^\s.,]+")


def clean(text: str) -> str:
    """A PAN as typed, in capitals and without spaces."""
    return "".join(text.split()).upper()


def has_shape(text: str) -> bool:
    """Whether a cleaned text is shaped as a PAN with a known holder letter."""
    return _SHAPE.fullmatch(text) is not None


def parse(text: str, field: str = "pan") -> str:
    """A PAN as it was typed, cleaned. Raises Invalid."""
    cleaned = clean(text)
    if not has_shape(cleaned):
        raise Invalid(field, "is not a PAN: five letters, four digits, one letter, such as AAPFU0939F")
    return cleaned


def masked(pan: str) -> str:
    """A PAN for lists: holder and last character, and nothing that tells whose it is.

    >>> masked("AAPFU0939F")
    '•••F•••••F'
    """
    return f"•••{pan[3]}•••••{pan[9]}"


def fits_constitution(pan: str, constitution: str) -> bool:
    """Whether the holder letter is the one of what the holder says to be."""
    return CONSTITUTIONS.get(constitution) == pan[3]


def fits_name(pan: str, name: str) -> bool:
    """Whether the fifth letter can be the name's: of a person any word's (order of names varies), else the first's."""
    words = [word for word in _WORD.findall(name.casefold()) if word not in _TITLES]
    if not words:
        return False
    initials = [word[0].upper() for word in words]
    return pan[4] in (initials if pan[3] == "P" else initials[:1])
