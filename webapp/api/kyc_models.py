"""The shapes of /api/auth/kyc, /api/kyc and /api/registry."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal
from uuid import UUID

from pydantic import Field

from webapp.api.models import Day, Input, Name, Output, PageQuery, Search

KycState = Literal["not_started", "submitted", "verified", "rejected", "expired"]
Constitution = Literal[
    "individual", "proprietorship", "partnership", "llp", "company", "huf", "trust", "aop", "boi", "local_authority",
    "juridical_person", "government",
]  # fmt: skip
DocumentKind = Literal["pan_card", "gst_certificate", "address_proof", "bank_statement"]
_Number = Annotated[str, Field(max_length=30)]
_Gstin = Annotated[str, Field(min_length=15, max_length=15)]
_Pan = Annotated[str, Field(min_length=10, max_length=10)]


class KycInput(Input):
    """Who somebody is. It is looked at by an operator."""

    legal_name: Name
    constitution: Constitution
    pan: _Number
    gstin: _Number | None = None
    udyam: _Number | None = None
    account_name: Name


class KycProfile(Output):
    """What was handed in."""

    legal_name: str
    constitution: Constitution
    pan: str
    gstin: str | None
    udyam: str | None
    account_name: str


class KycDocument(Output):
    """A paper; its content is at /api/kyc/documents/<id>."""

    id: UUID
    kind: DocumentKind
    name: str
    media_type: str
    size: int
    created_at: datetime


class KycCheck(Output):
    """Something that was looked at, in words."""

    code: str
    title: str
    passed: bool
    sentence: str


class KycChange(Output):
    """A change of a KYC. `by` says what kind of actor; its name is for operators."""

    version: int
    before: KycState
    after: KycState
    reason: str
    at: datetime
    by: Literal["person", "operator", "platform"]
    actor: str | None


class Kyc(Output):
    """A person's KYC. Money moves while `state` is verified; `evidence` demo means that nobody looked."""

    user_id: UUID
    state: KycState
    version: int
    evidence: Literal["documents", "demo"] | None
    profile: KycProfile | None
    documents: list[KycDocument]
    missing: list[DocumentKind]
    checks: list[KycCheck]
    reason: str | None
    submitted_at: datetime | None
    decided_at: datetime | None
    history: list[KycChange]


class KycPerson(Output):
    """A person as operators see them."""

    id: UUID
    name: str
    email: str
    role: str
    organisation: str | None = None
    created_at: datetime | None = None


class KycReview(Kyc):
    """A KYC with the person, and the other accounts that give the same PAN."""

    user: KycPerson
    shared_with: list[KycPerson]


class KycEntry(Output):
    """A line of the queue. The PAN is masked."""

    user: KycPerson
    state: KycState
    version: int
    evidence: Literal["documents", "demo"] | None
    legal_name: str | None
    constitution: Constitution | None
    pan: str | None
    shared_pan: bool
    submitted_at: datetime | None
    updated_at: datetime


class KycQueue(Output):
    """A page of the queue."""

    items: list[KycEntry]
    next_cursor: str | None


class KycQuery(PageQuery):
    """Which KYC: of a state, and with a word in name, address or PAN."""

    state: KycState | None = None
    search: Search | None = None


class DecideInput(Input):
    """A decision with its reason. `version` is the one looked at: another by now is refused."""

    decision: Literal["verify", "reject", "expire"]
    reason: Annotated[str, Field(min_length=1, max_length=500)]
    version: Annotated[int, Field(strict=True, ge=0, le=2**31 - 1)] | None = None


class RegistryInput(Input):
    """An invoice, by what everybody who holds it knows. A party without a GSTIN is named by its PAN."""

    supplier_gstin: _Gstin | None = None
    supplier_pan: _Pan | None = None
    buyer_gstin: _Gstin | None = None
    buyer_pan: _Pan | None = None
    document_type: Literal["INV", "CRN", "DBN"] = "INV"
    number: Annotated[str, Field(min_length=1, max_length=100)]
    issue_date: Day


class RegistryAnswer(Output):
    """All that is told of an invoice to somebody who asks."""

    financed: bool
