"""Names of companies and people as banks and sellers spell them, made comparable. Pure."""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache

# Forms of companies, and words that stand in every second name.
_EMPTY = frozenset({
    "PVT", "PRIVATE", "PRIVAT", "LTD", "LIMITED", "LIMITE", "LLP", "LLC", "INC", "CORP", "CORPORATION", "CO",
    "COMPANY", "PTY", "PLC", "GMBH", "AG", "SA", "SARL", "BV", "NV", "OY", "AB", "AS", "THE", "AND", "MS", "MR",
    "MRS", "SHRI", "SMT", "OPC", "HUF",
})  # fmt: skip
_SHORT = {
    "ENTERPRISE": "ENT", "ENTERPRISES": "ENT", "ENTPRS": "ENT", "INDUSTRY": "IND", "INDUSTRIES": "IND", "INDS": "IND",
    "TECHNOLOGY": "TECH", "TECHNOLOGIES": "TECH", "SOLUTION": "SOLN", "SOLUTIONS": "SOLN", "SOLNS": "SOLN",
    "SERVICE": "SVC", "SERVICES": "SVC", "SRVCS": "SVC", "TRADER": "TRD", "TRADERS": "TRD", "TRADING": "TRD",
    "BROTHERS": "BROS", "INTERNATIONAL": "INTL", "INTERNATNL": "INTL", "MANUFACTURING": "MFG", "INDIAN": "INDIA",
}  # fmt: skip
# How like a name is of which another is the beginning.
CUT_OFF = 99.0
_WORDS = re.compile(r"[A-Z0-9]+")


@lru_cache(maxsize=65536)
def normal_name(name: str) -> str:
    """A name in capitals without marks, accents and the form of the company; empty when nothing is left.

    >>> normal_name("M/s. Rao & Sons Enterprises Pvt. Ltd.")
    'RAO SONS ENT'
    """
    plain = unicodedata.normalize("NFKD", name[:200]).upper()
    # Dots join (P.V.T., S.K.), other marks part.
    plain = "".join(one for one in plain if not unicodedata.combining(one)).replace(".", "").replace("M/S", " ")
    if not plain.isascii():
        # Names in other scripts are compared as they are.
        return " ".join(re.findall(r"[^\W_]+", plain))
    words = [_SHORT.get(word, word) for word in _WORDS.findall(plain)]
    kept = [word for word in words if word not in _EMPTY]
    return " ".join(kept or words)


@lru_cache(maxsize=65536)
def whole_name(name: str) -> str:
    """Letters and digits of a name alone, its form included: in which a misspelt form is still like itself."""
    plain = unicodedata.normalize("NFKD", name[:200]).upper()
    return "".join(one for one in plain if one.isalnum())


def likeness(one: str, other: str) -> float:
    """How like two normal names are, 0 to 100 (rapidfuzz's token set ratio, kept low where one is but one short word).

    Names that a bank cut off are as like as what is left of them.
    """
    from rapidfuzz import fuzz  # noqa: PLC0415 - the web process never compares names.

    if not one or not other:
        return 0.0
    if one == other:
        return 100.0
    short, long = sorted((one, other), key=len)
    if len(short) >= 10 and long.startswith(short):
        return CUT_OFF
    found = float(fuzz.token_set_ratio(one, other))
    # "RAO" is in "RAO TEXTILES" and in "RAO STEEL": one word that is a part of another name says little.
    if found > 85 and len(short.split()) < len(long.split()):
        found = min(found, float(fuzz.token_sort_ratio(one, other)) * 0.3 + 65)
    return found
