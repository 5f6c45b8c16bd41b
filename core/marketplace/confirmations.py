"""What a buyer accepted: signed, kept for ever, verifiable by anybody (docs/confirmation.md); and the links by mail.

The record is a text of one line, made once and stored as it is. Its Ed25519 signature is by a key that is derived
from the installation's secret; the public keys of all records stay known, also when that secret changes.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING, Any
from uuid import UUID

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from sqlalchemy import text
from sqlalchemy.orm import Session

from core.errors import NotFound
from core.ids import new_id
from core.marketplace import links
from core.marketplace.links import Link
from core.marketplace.states import Financing

if TYPE_CHECKING:
    from core.marketplace.submitting import Confirmer

KIND = "ledgerwire.confirmation/1"
ALGORITHM = "Ed25519"
STATEMENT = (
    "The buyer accepts, irrevocably, to owe the seller or whoever the seller assigns the invoice to the amount named "
    "here, and to pay it on the due date whatever becomes of the goods or services."
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """A confirmation: the signed text and what is read from it."""

    id: UUID
    financing_id: UUID
    invoice_id: UUID
    version: int
    via: str
    currency: str
    face: int
    deductions: int
    amount: int
    due_date: date
    canonical: str
    sha256: bytes
    signature: bytes
    key_id: str
    accepted_at: datetime
    public_key: bytes


def _derived(secret: str, purpose: bytes) -> bytes:
    return HKDF(algorithm=hashes.SHA256(), length=32, salt=None, info=b"ledgerwire " + purpose).derive(secret.encode())


def key_id_of(public_key: bytes) -> str:
    """Name of a public key: the start of its SHA-256."""
    return hashlib.sha256(public_key).hexdigest()[:16]


def pem(public_key: bytes) -> str:
    """A raw public key as openssl reads it."""
    return (
        Ed25519PublicKey.from_public_bytes(public_key)
        .public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
        .decode("ascii")
    )


def verify(canonical: str, signature: bytes, public_key: bytes) -> bool:
    """Whether the text is, to the byte, what the holder of the key signed."""
    try:
        Ed25519PublicKey.from_public_bytes(public_key).verify(signature, canonical.encode("utf-8"))
    except (InvalidSignature, ValueError):
        return False
    return True


@dataclass(frozen=True, slots=True)
class Notary:
    """Signs what buyers accept, and the links by which they are asked. Made from the installation's secret."""

    public_key: bytes
    _signing: Ed25519PrivateKey = field(repr=False)
    _link_key: bytes = field(repr=False)

    @classmethod
    def of(cls, secret: str) -> Notary:
        """The notary of an installation: the same secret always gives the same keys."""
        signing = Ed25519PrivateKey.from_private_bytes(_derived(secret, b"confirmation signature v1"))
        raw = signing.public_key().public_bytes(serialization.Encoding.Raw, serialization.PublicFormat.Raw)
        return cls(raw, signing, _derived(secret, b"confirmation link v1"))

    @property
    def key_id(self) -> str:
        """Name of the key that signs now."""
        return key_id_of(self.public_key)

    def link_token(self, *, financing_id: UUID, version: int, email: str, expires_at: datetime) -> str:
        """A token by which whoever reads that address answers for the financing, as it is at that version."""
        link = Link(financing_id=financing_id, version=version, email=email, expires_at=expires_at)
        return links.link_token(self._link_key, link)

    def link_to(self, base_url: str, financing: Financing) -> str:
        """The address at which the buyer of a financing answers, until the time to confirm is over."""
        token = self.link_token(
            financing_id=financing.id,
            version=financing.version,
            email=financing.buyer_email,
            expires_at=financing.confirm_by,
        )
        return f"{base_url}/confirm/{token}"

    def open_link(self, token: str, now: datetime) -> Link:
        """What such a token says. Raises LinkInvalid or LinkExpired."""
        return links.open_link(self._link_key, token, now)

    def record(self, session: Session, financing: Financing, who: Confirmer, now: datetime) -> UUID:
        """Sign and keep what the buyer has just accepted; `financing` is as it stands after that.

        One record a version of a financing, in the transaction of the acceptance: both are there or neither.
        """
        if financing.confirmed_amount is None:
            raise ValueError("nothing was confirmed")
        canonical = spell(_content(session, financing, who, now, self.key_id))
        session.execute(
            text(
                "INSERT INTO confirmation_keys (id, public_key, created_at) VALUES (:id, :key, :now) "
                "ON CONFLICT (id) DO NOTHING"
            ),
            {"id": self.key_id, "key": self.public_key, "now": now},
        )
        identity = new_id()
        session.execute(
            text(
                "INSERT INTO confirmations (id, financing_id, invoice_id, version, buyer_id, buyer_email, via, "
                "currency, face, deductions, amount, due_date, document, evidence, canonical, sha256, signature, "
                "key_id, accepted_at) VALUES (:id, :financing, :invoice, :version, :buyer, :email, :via, :currency, "
                ":face, :deductions, :amount, :due, CAST(:document AS jsonb), CAST(:evidence AS jsonb), :canonical, "
                ":sha256, :signature, :key, :now)"
            ),
            {
                "id": identity,
                "financing": financing.id,
                "invoice": financing.invoice_id,
                "version": financing.version,
                "buyer": who.actor.id if who.actor else None,
                "email": who.email,
                "via": "account" if who.actor else "link",
                "currency": financing.currency,
                "face": financing.face,
                "deductions": financing.deductions,
                "amount": financing.confirmed_amount,
                "due": financing.due_date,
                "document": json.dumps(dict(financing.document)),
                "evidence": json.dumps(dict(who.evidence)),
                "canonical": canonical,
                "sha256": hashlib.sha256(canonical.encode()).digest(),
                "signature": self._signing.sign(canonical.encode()),
                "key": self.key_id,
                "now": now,
            },
        )
        return identity


def spell(content: dict[str, Any]) -> str:
    """The one spelling of a record: JSON of one line, names sorted, no spaces, UTF-8."""
    return json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def address_hash(financing_id: UUID, email: str) -> str:
    """How a record names the buyer's address: to be compared by who knows it, and not read by who does not."""
    return hashlib.sha256(f"{financing_id}:{email}".encode()).hexdigest()


def _content(session: Session, financing: Financing, who: Confirmer, now: datetime, key_id: str) -> dict[str, Any]:
    row = session.execute(
        text(
            "SELECT invoices.number, users.name, users.organisation, contacts.name AS buyer_name FROM invoices "
            "JOIN users ON users.id = invoices.seller_id JOIN contacts ON contacts.id = invoices.contact_id "
            "WHERE invoices.id = :id"
        ),
        {"id": financing.invoice_id},
    ).one()
    return {
        "kind": KIND,
        "statement": STATEMENT,
        "financing_id": str(financing.id),
        "version": financing.version,
        "invoice": {
            "id": str(financing.invoice_id),
            "number": row.number,
            "issue_date": financing.issue_date.isoformat(),
        },
        "seller": {"id": str(financing.seller_id), "name": row.name, "organisation": row.organisation},
        "buyer": {
            "id": str(who.actor.id) if who.actor else None,
            "name": row.buyer_name,
            "address_sha256": address_hash(financing.id, who.email),
        },
        "via": "account" if who.actor else "link",
        "currency": financing.currency,
        "face": financing.face,
        "deductions": financing.deductions,
        "amount": financing.confirmed_amount,
        "due_date": financing.due_date.isoformat(),
        "document": dict(financing.document),
        "evidence": dict(who.evidence),
        "accepted_at": now.astimezone(UTC).isoformat(),
        "key_id": key_id,
    }


_COLUMNS = (
    "confirmations.id, financing_id, invoice_id, version, via, currency, face, deductions, amount, due_date, "
    "canonical, sha256, signature, key_id, accepted_at, confirmation_keys.public_key"
)


def of_invoice(session: Session, invoice_id: UUID) -> Record:
    """The newest confirmation of an invoice. Raises NotFound. Who may see it is for the caller to say."""
    row = session.execute(
        text(
            f"SELECT {_COLUMNS} FROM confirmations JOIN confirmation_keys ON confirmation_keys.id = key_id "
            "WHERE invoice_id = :id ORDER BY confirmations.id DESC LIMIT 1"
        ),
        {"id": invoice_id},
    ).one_or_none()
    if row is None:
        raise NotFound("confirmation of invoice", invoice_id)
    found = row._asdict()
    return Record(**{**found, **{name: bytes(found[name]) for name in ("sha256", "signature", "public_key")}})


def known_keys(session: Session, notary: Notary) -> list[dict[str, Any]]:
    """Every public key under which something was signed, and the present one, newest first."""
    rows = session.execute(
        text("SELECT id, public_key, created_at FROM confirmation_keys ORDER BY created_at DESC, id")
    ).all()
    found = [{"id": row.id, "public_key": bytes(row.public_key), "since": row.created_at} for row in rows]
    if all(each["id"] != notary.key_id for each in found):
        found.insert(0, {"id": notary.key_id, "public_key": notary.public_key, "since": None})
    return found
