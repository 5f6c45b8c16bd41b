"""What an invoice is recognised by when it comes again: keyed tokens that tell nobody what they were made of.

Marketplace rules 2.9. Every token is an HMAC-SHA256 with a secret of the installation: GSTINs are public and numbers
run in order, so a plain hash of them could be found by trying. Parties are known by PAN, so that an invoice made
again under another state's registration still collides. A party without a PAN is known here by its account (seller)
or address (buyer): then the rule still holds inside the platform.

A party's PAN may become known between two submissions. Each token is therefore made for every name a party has: the
first is stored, all of them are looked for.
"""

from __future__ import annotations

import hmac
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import date
from itertools import product
from uuid import UUID

from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from core.invoicing.references import number_key
from core.taxids import DocumentKind, Party, cross, financial_year, gstin

_PURPOSE = b"ledgerwire/marketplace/fingerprints/1"
# Stands between the fields of a token, and in none of them.
_BETWEEN = "\x1f"
EWAY, ORDER = "eway:", "po:"
# A reference's token is text in an array; 128 bits are enough to tell references apart.
_REFERENCE_DIGITS = 32
_EWAY_BILL = re.compile(r"[0-9]{12}")


def key(secret: str) -> bytes:
    """The key of the tokens, derived from the installation's SECRET_KEY. Another secret finds no old duplicate."""
    return HKDF(algorithm=SHA256(), length=32, salt=None, info=_PURPOSE).derive(secret.encode())


@dataclass(frozen=True, slots=True, kw_only=True)
class Document:
    """An invoice as it is known at submission. `amount` is its face, in minor units.

    `file_hashes` are SHA-256 in hexadecimal of the invoice's own document; `references` are numbers of e-way bills
    (twelve digits) and of the buyer's orders (anything else).
    """

    seller_id: UUID
    buyer_email: str
    number: str
    issued: date
    amount: int
    currency: str
    kind: DocumentKind = DocumentKind.INVOICE
    seller: Party = field(default_factory=Party)
    buyer: Party = field(default_factory=Party)
    file_hashes: Sequence[str] = ()
    references: Sequence[str] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Fingerprints:
    """The tokens of a document, one a level as they are stored. `also` are those under its parties' other names."""

    e1: bytes
    e2: bytes
    n1: bytes
    # The two parties, whatever the invoice: where near duplicates are looked for.
    pair: bytes
    number_groups: str
    file_hashes: tuple[str, ...] = ()
    references: tuple[str, ...] = ()
    also: tuple[bytes, ...] = ()

    @property
    def tokens(self) -> frozenset[bytes]:
        """All of them. A token holds its level, so that two levels have none in common."""
        return frozenset((self.e1, self.e2, self.n1, self.pair, *self.also))


def _names(known: str | None, fallback: str) -> list[str]:
    return [known, fallback] if known else [fallback]


def _tokens(secret: bytes, level: str, rows: Iterable[Sequence[object]]) -> tuple[bytes, ...]:
    return tuple(
        hmac.digest(secret, _BETWEEN.join([level, *(str(value) for value in row)]).encode(), "sha256") for row in rows
    )


def _reference_tokens(secret: bytes, given: Sequence[str], buyers: Sequence[str]) -> tuple[str, ...]:
    eway: list[tuple[str, ...]] = []
    orders: list[tuple[str, ...]] = []
    for reference in given:
        joined = "".join(reference.split())
        if _EWAY_BILL.fullmatch(joined):
            eway.append((joined,))
        elif order := number_key(reference):
            # Order numbers are the buyer's own series, e-way bills the country's.
            orders.extend((buyer, order) for buyer in buyers)
    found = [(EWAY, token) for token in _tokens(secret, "eway", eway)]
    found += [(ORDER, token) for token in _tokens(secret, "po", orders)]
    return tuple(sorted({prefix + token.hex()[:_REFERENCE_DIGITS] for prefix, token in found}))


def of(document: Document, secret: bytes) -> Fingerprints:
    """The fingerprints of a document. `secret` is what `key` made.

    E1 is the recipe of the IRN: supplier's GSTIN, year, kind, number as printed (capitals). E2 takes both PANs, year
    and the number's normal form; N1 both PANs, amount and date. An unreadable GSTIN proves no PAN.
    """
    year = financial_year(document.issued)
    account = f"user:{document.seller_id}"
    sellers = _names(cross.identity(document.seller), account)
    buyers = _names(cross.identity(document.buyer), f"email:{document.buyer_email.strip().lower()}")
    pairs = list(product(sellers, buyers))
    groups = number_key(document.number)
    printed = "".join(document.number.split()).upper()
    registered = _names(gstin.clean(document.seller.gstin) if document.seller.gstin else None, account)
    e1, *also_e1 = _tokens(secret, "E1", ((name, year, document.kind.value, printed) for name in registered))
    e2, *also_e2 = _tokens(secret, "E2", ((*each, year, groups) for each in pairs))
    n1, *also_n1 = _tokens(
        secret, "N1", ((*each, document.amount, document.currency, document.issued) for each in pairs)
    )
    pair, *also_pair = _tokens(secret, "pair", pairs)
    return Fingerprints(
        e1=e1,
        e2=e2,
        n1=n1,
        pair=pair,
        number_groups=groups,
        file_hashes=tuple(sorted({given.lower() for given in document.file_hashes})),
        references=_reference_tokens(secret, document.references, buyers),
        also=(*also_e1, *also_e2, *also_n1, *also_pair),
    )
