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
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import date
from itertools import product
from typing import Any
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


def key(secret: str) -> bytes:
    """The key of the tokens, derived from the installation's SECRET_KEY. Another secret finds no old duplicate."""
    return HKDF(algorithm=SHA256(), length=32, salt=None, info=_PURPOSE).derive(secret.encode())


@dataclass(frozen=True, slots=True, kw_only=True)
class Document:
    """An invoice as it is known at submission. `amount` is its face, in minor units.

    `file_hashes` are SHA-256 in hexadecimal of the invoice's own document; `orders` are the buyer's order numbers.
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
    eway_bills: Sequence[str] = ()
    orders: Sequence[str] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Fingerprints:
    """The tokens of a document. Of each level the first is the one to store."""

    e1: tuple[bytes, ...]
    e2: tuple[bytes, ...]
    n1: tuple[bytes, ...]
    # The two parties, whatever the invoice: where near duplicates are looked for.
    pair: tuple[bytes, ...]
    number_groups: str
    file_hashes: tuple[str, ...] = ()
    references: tuple[str, ...] = ()

    def columns(self) -> dict[str, Any]:
        """What a row of `financings` keeps, by its column names."""
        return {
            "fp_e1": self.e1[0],
            "fp_e2": self.e2[0],
            "fp_n1": self.n1[0],
            "fp_pair": self.pair[0],
            "number_groups": self.number_groups,
            "file_hashes": list(self.file_hashes),
            "document_references": list(self.references),
        }


def _names(known: str | None, fallback: str) -> list[str]:
    return [known, fallback] if known else [fallback]


def _tokens(secret: bytes, level: str, rows: Iterable[Sequence[object]]) -> tuple[bytes, ...]:
    return tuple(
        hmac.digest(secret, _BETWEEN.join([level, *(str(value) for value in row)]).encode(), "sha256") for row in rows
    )


def _digits(text: str) -> str:
    return "".join(character for character in text if character.isascii() and character.isdigit())


def _references(secret: bytes, document: Document, buyers: Sequence[str]) -> tuple[str, ...]:
    eway = ((number,) for given in document.eway_bills if (number := _digits(given)))
    # Order numbers are the buyer's own series, e-way bills the country's.
    orders = ((buyer, order) for given in document.orders if (order := number_key(given)) for buyer in buyers)
    return (
        *(EWAY + token.hex()[:_REFERENCE_DIGITS] for token in _tokens(secret, "eway", eway)),
        *(ORDER + token.hex()[:_REFERENCE_DIGITS] for token in _tokens(secret, "po", orders)),
    )


def of(document: Document, secret: bytes) -> Fingerprints:
    """The fingerprints of a document. `secret` is what `key` made.

    E1 is the recipe of the IRN: supplier's GSTIN, year, kind, number as printed (capitals). E2 takes both PANs, year
    and the number's normal form; N1 both PANs, amount and date. An unreadable GSTIN counts as none.
    """
    year = financial_year(document.issued)
    sellers = _names(cross.identity(document.seller), f"user:{document.seller_id}")
    buyers = _names(cross.identity(document.buyer), f"email:{document.buyer_email.strip().lower()}")
    pairs = list(product(sellers, buyers))
    groups = number_key(document.number)
    printed = "".join(document.number.split()).upper()
    registered = _names(
        gstin.clean(document.seller.gstin) if document.seller.gstin else None, f"user:{document.seller_id}"
    )
    return Fingerprints(
        e1=_tokens(secret, "E1", ((name, year, document.kind.value, printed) for name in registered)),
        e2=_tokens(secret, "E2", ((*pair, year, groups) for pair in pairs)),
        n1=_tokens(secret, "N1", ((*pair, document.amount, document.currency, document.issued) for pair in pairs)),
        pair=_tokens(secret, "pair", pairs),
        number_groups=groups,
        file_hashes=tuple(sorted({given.lower() for given in document.file_hashes})),
        references=_references(secret, document, buyers),
    )
