"""The shapes of the API: what may be sent, and what comes back.

Unknown members and query names are refused everywhere, so that a misspelt field is noticed at once.
"""

from __future__ import annotations

from datetime import date, datetime
from decimal import Decimal
from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, SecretStr

from core.money import MAX_MINOR


class Input(BaseModel):
    """Something sent to us."""

    model_config = ConfigDict(extra="forbid", frozen=True, defer_build=True)


class Output(BaseModel):
    """Something we answer."""

    model_config = ConfigDict(extra="forbid", defer_build=True)


def _no_bool(value: object) -> object:
    if isinstance(value, bool):
        raise ValueError("must be a number")  # noqa: TRY004 - pydantic turns ValueErrors into field errors.
    return value


def _iso_day(value: object) -> object:
    if not isinstance(value, str) or len(value) != 10:
        raise ValueError("must be a date such as 2026-11-21")
    return value


Day = Annotated[date, BeforeValidator(_iso_day)]
Minor = Annotated[int, Field(strict=True, ge=0, le=MAX_MINOR)]
Quantity = Annotated[Decimal, BeforeValidator(_no_bool), Field(gt=0, lt=10**12, allow_inf_nan=False)]
Rate = Annotated[Decimal, BeforeValidator(_no_bool), Field(ge=0, le=100, allow_inf_nan=False)]
Name = Annotated[str, Field(min_length=1, max_length=200)]
Email = Annotated[str, Field(min_length=3, max_length=254)]
Currency = Annotated[str, Field(pattern="^[A-Z]{3}$")]
Cursor = Annotated[str, Field(min_length=1, max_length=200)]
Limit = Annotated[int, Field(ge=1, le=100)]
Words = Annotated[str, Field(max_length=5000)]
Search = Annotated[str, Field(min_length=1, max_length=200)]
Slug = Annotated[str, Field(pattern="^[a-z][a-z0-9_]{1,39}$")]


# People -----------------------------------------------------------------------------------------------------


class RegisterInput(Input):
    """A new account."""

    email: Email
    password: Annotated[SecretStr, Field(min_length=8, max_length=128)]
    name: Name
    role: Literal["seller", "buyer", "investor"] = "seller"
    organisation: Annotated[str, Field(max_length=200)] = ""


class LoginInput(Input):
    """Who signs in."""

    email: Annotated[str, Field(max_length=254)]
    password: Annotated[SecretStr, Field(max_length=1024)]


class RefreshInput(Input):
    """The refresh token that is traded or given up."""

    refresh_token: Annotated[str, Field(min_length=1, max_length=512)]


class LogoutInput(Input):
    """The sign-in that ends. Without a token it is the one of the Authorization header."""

    refresh_token: Annotated[str, Field(min_length=1, max_length=512)] | None = None


class ProfileInput(Input):
    """What a person changes of themselves. A new password needs the present one."""

    name: Name | None = None
    organisation: Annotated[str, Field(max_length=200)] | None = None
    preferences: Annotated[dict[str, str | bool | int | None], Field(max_length=50)] | None = None
    current_password: Annotated[SecretStr, Field(max_length=1024)] | None = None
    new_password: Annotated[SecretStr, Field(min_length=8, max_length=128)] | None = None


class User(Output):
    """A person, as they see themselves."""

    id: UUID
    email: str
    name: str
    organisation: str
    role: Literal["seller", "buyer", "investor", "operator"]
    preferences: dict[str, Any]
    created_at: datetime


class Tokens(Output):
    """Proof for the next requests: `Authorization: Bearer <access_token>`."""

    access_token: str
    refresh_token: str
    expires_in: int
    token_type: Literal["Bearer"]
    user: User


class ServiceTokenInput(Input):
    """What the token is for."""

    name: Annotated[str, Field(min_length=1, max_length=100)]


class ServiceToken(Output):
    """A token of another service. `token` is there once, when it is made."""

    id: UUID
    name: str
    token: str | None = None
    created_by: str | None = None
    created_at: datetime | None = None
    revoked_at: datetime | None = None


class ServiceTokens(Output):
    """All of them, newest first."""

    items: list[ServiceToken]


# Lists ------------------------------------------------------------------------------------------------------


class PageQuery(Input):
    """Which page of a list."""

    limit: Limit = 25
    cursor: Cursor | None = None


PaymentStatus = Literal["draft", "open", "partial", "paid", "void"]
FinancingState = Literal[
    "pending_buyer_confirmation",
    "rejected",
    "disputed",
    "confirmed",
    "listed",
    "partially_funded",
    "settlement_pending",
    "funded",
    "part_paid",
    "overdue",
    "defaulted",
    "repaid",
    "written_off",
    "expired",
    "withdrawn",
]


class MirroredInvoicesQuery(PageQuery):
    """Which invoices elsewhere."""

    connection_id: UUID | None = None
    status: Literal["draft", "open", "partially_paid", "paid", "void"] | None = None
    link: Literal["linked", "unlinked", "differs", "conflict"] | None = None


class ConnectionsQuery(PageQuery):
    """Which connections."""

    connector: Slug | None = None


class DeliveriesQuery(PageQuery):
    """Which deliveries."""

    connector: Slug | None = None
    connection_id: UUID | None = None
    state: Literal["processed", "ready", "fetch", "paused", "unrouted", "unknown", "dead"] | None = None


class QuarantineQuery(PageQuery):
    """Which refused deliveries."""

    connector: Slug | None = None


# Invoices: see invoice_models.py. A financing stands in other answers too.


class Financing(Output):
    """The marketplace life of an invoice. Rates are text in per cent a year; amounts are minor units of `currency`.

    `outlay` is what investors pay in all, of which `placed` is there and `remaining` is not; `principal` is what
    they are owed for it. What is not fixed yet is null.
    """

    id: UUID
    state: FinancingState
    mode: Literal["fixed", "auction"] | None
    pricing: Literal["uniform", "pay_as_bid"] | None
    face: int
    deductions: int
    confirmed_amount: int | None
    principal: int | None
    discount: int | None
    outlay: int | None
    haircut: str | None
    rate: str | None
    days: int | None
    value_date: date | None
    pay_date: date | None
    min_slice: int | None
    fee_plan: str | None
    fee: int | None
    fee_tax: int | None
    placed: int
    remaining: int | None
    investors: int
    submitted_at: datetime
    confirm_by: datetime
    confirmed_at: datetime | None
    reason_code: str | None
    closes_at: datetime | None
    listed_at: datetime | None
    settle_on: date | None
    funded_at: datetime | None
    recourse: Literal["none", "reserve", "full"] | None
    late_rate: str | None
    collected: int
    repaid_principal: int
    repaid_interest: int
    currency: str


# Money ------------------------------------------------------------------------------------------------------


class NumberedInvoice(Output):
    """An invoice by id and number."""

    id: UUID
    number: str


class NamedConnection(Output):
    """A connection by id and name."""

    id: UUID
    name: str | None


class SeenIn(Output):
    """A delivery that told of something."""

    delivery_id: UUID
    event_id: UUID
    name: str
    received_at: datetime


class Allocation(Output):
    """The part of a payment that pays an invoice."""

    invoice: NumberedInvoice
    amount: int
    reason: str
    created_at: datetime


class NamedContact(Output):
    """A customer by id and name."""

    id: UUID
    name: str


class PaymentRow(Output):
    """A payment in a list: with the first of the `invoice_count` invoices that it names.

    `decided`: a person decided what it pays. `version` counts the changes of a payment by hand.
    """

    id: UUID
    source: Literal["gateway", "bank", "manual", "credit_note"]
    connector: str | None
    connection: NamedConnection | None
    object_id: str | None
    status: Literal["pending", "failed", "succeeded", "cancelled"]
    amount: int
    currency: str
    refunded: int
    deducted: int
    net: int
    allocated: int
    unapplied: int
    disputed: bool
    invoice: NumberedInvoice | None
    invoice_count: int
    contact: NamedContact | None
    decided: bool
    method: str | None
    payer_name: str | None
    payer_email: str | None
    bank_reference: str | None
    description: str | None
    notes: str
    fee: int | None
    failure: str | None
    transaction_id: UUID | None
    occurred_at: datetime
    created_at: datetime
    deleted_at: datetime | None
    version: int
    trust: Literal["signed", "fetched", "manual", "hint"]
    references: list[str]


class BankAccount(Output):
    """The account a transaction is on."""

    name: str
    number_masked: str | None


class TransactionConnection(Output):
    """The connection a transaction came over."""

    id: UUID
    name: str | None
    connector: str | None


class MatchContact(Output):
    """Who owes the matched invoice."""

    name: str
    email: str


class MatchInvoice(Output):
    """The invoice of a match."""

    id: UUID
    number: str
    amount_due: int
    currency: str
    contact: MatchContact


class Match(Output):
    """What a transaction is taken for: money for `invoice_count` invoices, a payment known before, or a payout."""

    id: UUID
    state: Literal["proposed", "accepted"]
    kind: Literal["invoices", "payment", "payout"]
    tier: Literal["sure", "suggested", "suspense"]
    actor: Literal["engine", "user"]
    score: float
    features: dict[str, Any]
    subject_id: UUID | None
    invoice_count: int
    invoice: MatchInvoice | None


class TransactionRow(Output):
    """A bank transaction in a list; a negative amount left the account."""

    id: UUID
    status: Literal["pending", "posted", "removed"]
    amount: int
    currency: str
    narration: str
    counterparty: str | None
    bank_reference: str | None
    category: str | None
    account: BankAccount | None
    connection: TransactionConnection
    balance: int | None
    occurred_at: datetime
    booked_on: date | None
    trust: Literal["signed", "fetched", "manual", "hint"]
    match_state: Literal["none", "proposed", "accepted", "duplicate", "ignored"]
    duplicate_of: UUID | None
    match: Match | None
    payment_id: UUID | None


class Transaction(TransactionRow):
    """A bank transaction with where it was told."""

    deliveries: list[SeenIn]


class Transactions(Output):
    """A page of transactions, newest first."""

    items: list[TransactionRow]
    next_cursor: str | None


# Invoices elsewhere -----------------------------------------------------------------------------------------


class MirroredContact(Output):
    """Whom an invoice elsewhere is to or from, as far as it is known."""

    name: str | None
    email: str | None


class MirroredSource(Output):
    """The connection over which an invoice elsewhere is known."""

    id: UUID
    name: str | None
    connector: str | None


class MirrorLink(Output):
    """Which invoice here it is. `by_hand`: a person said so; else number and currency did."""

    invoice_id: UUID
    number: str | None
    state: Literal["agreed", "differs", "conflict"]
    by_hand: bool


class MirrorDifference(Output):
    """What both sides say of a field, and which of them moved since they last agreed."""

    field: Literal["total", "paid", "issue_date", "due_date", "void"]
    moved: Literal["ours", "theirs", "both"]
    ours: int | bool | str | None
    theirs: int | bool | str | None
    since: datetime


class MirroredInvoiceRow(Output):
    """An invoice, bill or credit note as an accounting system or gateway keeps it, in a list."""

    id: UUID
    status: Literal["draft", "open", "partially_paid", "paid", "void"]
    direction: Literal["sales", "purchase"]
    kind: Literal["invoice", "credit_note"]
    number: str | None
    total: int
    due: int
    currency: str
    issued_on: date | None
    due_on: date | None
    contact: MirroredContact
    url: str | None
    connection: MirroredSource
    link: MirrorLink | None
    trust: str
    updated_at: datetime


class MirroredInvoice(MirroredInvoiceRow):
    """One of them with where it was told, and where it differs from ours."""

    deliveries: list[SeenIn]
    differences: list[MirrorDifference]


class MirroredInvoices(Output):
    """A page of invoices elsewhere, newest to us first."""

    items: list[MirroredInvoiceRow]
    next_cursor: str | None


# Connections ------------------------------------------------------------------------------------------------

SecretMap = Annotated[
    dict[
        Annotated[str, Field(min_length=1, max_length=64)], Annotated[SecretStr, Field(min_length=1, max_length=4096)]
    ],
    Field(max_length=10),
]
SettingMap = Annotated[
    dict[Annotated[str, Field(min_length=1, max_length=64)], Annotated[str, Field(max_length=20_000)]],
    Field(max_length=20),
]


class ConnectionInput(Input):
    """A new connection. Which secrets and settings there are, GET /api/connectors says."""

    connector: Slug
    name: Annotated[str, Field(min_length=1, max_length=100)]
    secrets: SecretMap = Field(default_factory=dict)
    settings: SettingMap = Field(default_factory=dict)


class ConnectionUpdate(Input):
    """A new name, all settings anew, or new secrets beside which the old ones live on for a while.

    With `write_back` the books at the other end are written to: what is issued from then on is made there.
    """

    name: Annotated[str, Field(min_length=1, max_length=100)] | None = None
    settings: SettingMap | None = None
    secrets: SecretMap | None = None
    write_back: bool | None = None


class HeldSecret(Output):
    """That there is a secret, never which."""

    name: str
    created_at: datetime
    expires_at: datetime | None


class Connection(Output):
    """A link to an account at a provider."""

    id: UUID
    connector: str
    name: str
    webhook_url: str
    external_id: str | None
    settings: dict[str, str]
    write_back: bool
    health: Literal["active", "needs_attention", "revoked"]
    health_reason: str | None
    # Since when what it is told is kept and not processed.
    paused_at: datetime | None
    secrets: list[HeldSecret]
    created_at: datetime
    updated_at: datetime


class NewConnection(Connection):
    """A connection that was just made. `new_secrets` holds what we chose for it, and is shown this once."""

    new_secrets: dict[str, str]


class Connections(Output):
    """A page of connections, newest first."""

    items: list[Connection]
    next_cursor: str | None


class ConnectorField(Output):
    """Something to fill in when a connection is made."""

    name: str
    label: str
    help: str
    secret: bool
    required: bool


class ConnectorInfo(Output):
    """A provider that can be connected."""

    slug: str
    title: str
    docs_url: str
    checked: str
    # What it brings into the books, what its provider's side of the set-up is, and what its API is asked for.
    brings: list[str]
    # How far it is proven; docs/connectors/README.md has the rules. None: a plugin, or not proven yet.
    level: Literal["bronze", "silver", "gold"] | None
    steps: list[str]
    pulls: str | None
    registers: bool
    makes_secret: bool
    fields: list[ConnectorField]
    events: list[str]


class Connectors(Output):
    """Every provider that can be connected."""

    items: list[ConnectorInfo]


# Operations -------------------------------------------------------------------------------------------------


class DeliveryRow(Output):
    """A delivery in a list. `duplicate` means that it only repeated what was known."""

    id: UUID
    connector: str
    connection: NamedConnection | None
    received_at: datetime
    stored_at: datetime
    path: str
    remote_addr: str
    body_bytes: int
    verify_ms: float
    # The sync that asked for it, where nobody posted it.
    sync_id: UUID | None
    state: Literal["processed", "ignored", "ready", "fetch", "paused", "unrouted", "unknown", "dead", "duplicate"]
    event_count: int
    event_names: list[str]


class Deliveries(Output):
    """A page of deliveries, newest first."""

    items: list[DeliveryRow]
    next_cursor: str | None


class DeliveryDetail(Output):
    """A delivery as it was received, and the verdict on it."""

    id: UUID
    connector: str
    connection: NamedConnection | None
    received_at: datetime
    stored_at: datetime
    path: str
    remote_addr: str
    body_bytes: int
    verify_ms: float
    # The sync that asked for it, where nobody posted it.
    sync_id: UUID | None
    headers: list[list[str]]
    body_text: str | None
    body_base64: str
    sha256: str
    verdict: Literal["verified", "fetched"]
    secret_index: int
    message_id: str | None


class Effect(Output):
    """What an event did to one of our objects."""

    kind: str
    id: UUID
    effect: Literal["created", "updated", "unchanged"]
    label: str
    url: str | None


class EventAllocation(Output):
    """Money that an event moved to an invoice, or back."""

    payment_id: UUID
    invoice: NumberedInvoice
    amount: int
    currency: str
    reason: str


class TransferLeg(Output):
    """One entry of a transfer: a credit above zero, a debit below. `account` in words."""

    account: str
    amount: int
    currency: str
    mine: bool


class EventTransfer(Output):
    """What the ledger posted. `effective_at` is when it counts from, `recorded_at` when the books learned of it."""

    id: UUID
    kind: str
    description: str
    invoice: NumberedInvoice | None
    effective_at: datetime
    recorded_at: datetime
    reverses: UUID | None
    legs: list[TransferLeg]


class Heard(Output):
    """A live event that came of it."""

    room: str
    seq: int
    name: str
    at: datetime
    numbered_at: datetime


class Step(Output):
    """A station on the way, and the milliseconds since the one before."""

    name: Literal["asked", "received", "verified", "stored", "claimed", "processed", "numbered"]
    at: datetime
    ms: float


class ProviderEvent(Output):
    """One thing the provider said, and all that came of it."""

    id: UUID
    name: str
    provider_event_id: str
    trust: str
    state: Literal["processed", "ignored", "ready", "fetch", "paused", "unrouted", "unknown", "dead", "duplicate"]
    attempts: int
    note: str | None
    read_ms: float | None
    original_delivery_id: UUID | None
    effects: list[Effect]
    allocations: list[EventAllocation]
    transfers: list[EventTransfer]
    feed: list[Heard]
    steps: list[Step]


class Provenance(Output):
    """The whole way of a delivery."""

    delivery: DeliveryDetail
    events: list[ProviderEvent]
    total_ms: float


class QuarantineRow(Output):
    """A refused delivery, and why."""

    id: UUID
    connector: str
    connection: NamedConnection | None
    received_at: datetime
    path: str
    remote_addr: str
    body_bytes: int
    reason: str


class Quarantine(Output):
    """A page of refused deliveries, newest first."""

    items: list[QuarantineRow]
    next_cursor: str | None


class VerifiedAgain(Output):
    """What became of a refused delivery that holds by now."""

    delivery_id: UUID
    new_events: int


class ReplayInput(Input):
    """Whether to say only what a replay would change."""

    dry_run: Annotated[bool, Field(strict=True)] = True


class ReplayChange(Output):
    """An object that a replay would change: each field's value before and after."""

    kind: str
    id: UUID
    fields: dict[str, list[Any]]


class ReplayFailure(Output):
    """An event that cannot be read."""

    event_id: UUID
    error: str


class ReplayReport(Output):
    """What a replay would change, and how many events were put back to be processed again."""

    dry_run: bool
    events: int
    requeued: int
    changes: list[ReplayChange]
    fetches: int
    ignored: int
    failures: list[ReplayFailure]


class CurrencyTotal(Output):
    """The figures of one currency, in minor units."""

    currency: str
    open_count: int
    open_amount: int
    overdue_amount: int
    paid_30_days: int


class Wallet(Output):
    """Demo money: `balance` is there, `held` is promised, `available` can be spent."""

    balance: int
    available: int
    held: int
    currency: str


class Figure(Output):
    """So many, and what they come to in minor units."""

    count: int
    amount: int


class Backlog(Output):
    """What waits to be worked on."""

    pending: int
    oldest_age_seconds: float


class Health(Output):
    """How this process and what it depends on are; `connected_users_scope` says what was counted."""

    status: Literal["ok", "degraded"]
    version: str
    uptime_seconds: float
    memory_bytes: int
    connected_users: int
    connected_users_scope: Literal["installation", "process"]
    backlog: Backlog | None
    checks: dict[str, Literal["ok", "down"]]


class Ready(Output):
    """That requests can be served."""

    status: Literal["ready"]
