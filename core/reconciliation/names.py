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
# What banks write before a name, in the languages of the statements that are read here.
_BANK_WORDS = frozenset({
    "NEFT", "RTGS", "IMPS", "UPI", "ACH", "NACH", "ECS", "MMT", "INB", "IB", "MB", "CMS", "TPT", "IFT", "INF", "CR",
    "DR", "CREDIT", "CREDITED", "DEPOSIT", "DEP", "BY", "FROM", "FRM", "TO", "TRANSFER", "TRF", "TFR", "TRANSF",
    "INWARD", "INW", "OUTWARD", "REMITTANCE", "REM", "CLG", "CHQ", "CHEQUE", "PAYMENT", "PAYMENTS", "PMT", "RECEIVED",
    "RECEIPT", "RCVD", "COLLECT", "P2A", "P2M", "P2P", "FP", "FPI", "FPS", "FASTER", "BACS", "BGC", "BANK", "GIRO",
    "CHAPS", "SO", "STO", "SEPA", "SCT", "INST", "INSTANT", "SWIFT", "WIRE", "GUTSCHRIFT", "GUTSCHR", "UBERWEISUNG",
    "UEBERWEISUNG", "EINGANG", "ECHTZEIT", "VON", "VIR", "VIREMENT", "RECU", "DE", "BONIFICO", "A", "VOSTRO",
    "FAVORE", "DA", "TRANSFERENCIA", "RECIBIDA", "OVERBOEKING", "VAN", "BIJ",
})  # fmt: skip
# What they write after it: what follows is no name.
_AFTER = frozenset({
    "REF", "REFERENCE", "RRN", "UTR", "TXN", "RFB", "FPI", "BGC", "BACS", "EREF", "KREF", "MREF", "SVWZ", "MOTIF",
    "CAUSALE", "CONCEPTO", "OMSCHRIJVING", "INV", "INVOICE", "BILL", "IBAN", "BIC", "RECHNUNG", "FACTURE",
})  # fmt: skip
_FROM = frozenset({"FROM", "FRM", "VON", "VAN"})
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


def _plain_word(word: str) -> str:
    """A word for comparison: what stands before a full stop or plus sign, without marks and accents."""
    plain = unicodedata.normalize("NFKD", re.split(r"[.+]", word)[0]).upper()
    return "".join(one for one in plain if one.isalnum())


@lru_cache(maxsize=65536)
def without_bank_words(said: str) -> str:
    """A piece of a bank's text without what banks write before and after a payer's name; perhaps nothing.

    >>> without_bank_words("NEFT CR HDFCN52026112212345678 RAO TEXTILES PVT LTD REF 42")
    'RAO TEXTILES PVT LTD'
    """
    words = [(word, _plain_word(word)) for word in said[:200].split()]
    starts = [place + 1 for place, (_, plain) in enumerate(words) if plain in _FROM and place + 1 < len(words)]
    words = words[starts[-1] if starts else 0 :]
    while words and _is_no_name(words[0][1]):
        words.pop(0)
    end = next((place for place, (_, plain) in enumerate(words) if place and plain in _AFTER), len(words))
    words = words[:end]
    while words and _is_reference(words[-1][1]):
        words.pop()
    if len(words) > 2 and words[-2][1] in ("PVT", "PRIVATE") and "LIMITED".startswith(words[-1][1]):
        # A form that was cut off in the middle.
        words.pop()
    return " ".join(word for word, _ in words)


def _is_no_name(plain: str) -> bool:
    return not plain or plain in _BANK_WORDS or _is_reference(plain)


def _is_reference(plain: str) -> bool:
    return sum(one.isdigit() for one in plain) >= 4


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
