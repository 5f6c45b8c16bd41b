"""Shapes of risk: a judgement in its three outputs, and the reviews that it opens."""

from __future__ import annotations

from datetime import date, datetime
from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import Field

from webapp.api.models import Input, Output, PageQuery, Search

State = Literal["open", "cleared", "upheld"]
Code = Literal[
    "D1", "D2", "V1", "V2", "S1", "S2", "A1", "A2", "A3", "A4", "C1", "C2", "C3", "C4", "T1", "T2", "T3", "B1", "B2",
    "G1", "K1",
]  # fmt: skip


class Reason(Output):
    """One finding. `counterfactual` was computed by judging changed facts again."""

    code: Code
    title: str
    kind: Literal["stop", "review", "points", "haircut", "info"]
    sentence: str
    points: float
    hard: bool
    counterfactual: str | None
    # The raw figures, where they may be seen.
    values: dict[str, Any] | None = None
    # The invoices on the other side, for operators.
    others: list[dict[str, Any]] | None = None
    evidence: str | None = None


class Fraud(Output):
    """Stops keep an invoice off the market; reviews ask an operator to look. Neither is a number."""

    stops: list[Reason]
    reviews: list[Reason]


class Credit(Output):
    """0 to 100 points, the more the riskier: the sum of its reasons, capped."""

    score: float
    band: Literal["low", "elevated", "high"]
    reasons: list[Reason]


class Gap(Output):
    """A fact that is missing, and the points that costs."""

    name: str
    points: int
    sentence: str
    counterfactual: str | None


class Quality(Output):
    """0 to 100: how much of what a judgement needs is known."""

    score: int
    gaps: list[Gap]


class Haircut(Output):
    """The part of the amount that should be held back."""

    share: float
    reasons: list[Reason]


class Loss(Output):
    """Expected loss (principal x chance of default x share lost) beside the discount; minor units."""

    principal: int
    chance: float
    share: float
    expected: int
    discount: int
    is_paid_for: bool


class Risk(Output):
    """The newest judgement of an invoice, by the weights of `version`."""

    version: str
    cause: Literal["submission", "acceptance", "listing", "funding", "person"]
    at: datetime
    fraud: Fraud
    credit: Credit
    quality: Quality
    haircut: Haircut | None
    notes: list[Reason]
    loss: Loss | None
    evidence: dict[str, str] | None = None


class ReviewsQuery(PageQuery):
    """Which reviews."""

    state: State | None = None
    kind: Literal["stop", "review"] | None = None
    code: Code | None = None
    search: Search | None = None


class DecisionInput(Input):
    """Clear it, or uphold it, and why."""

    decision: Literal["clear", "uphold"]
    reason: Annotated[str, Field(min_length=3, max_length=1000)]


class ReviewSide(Output):
    """An invoice that a review speaks of; amounts in minor units of `currency`."""

    id: UUID
    number: str
    total: int
    currency: str
    issue_date: date
    due_date: date
    seller: str
    buyer: str
    buyer_email: str
    financing_state: str | None


class ReviewOther(Output):
    """The other side of a likeness, and in what it is alike."""

    number: str
    says: str
    invoice: ReviewSide | None


class ReviewFinding(Output):
    """What is to be looked at."""

    code: Code
    title: str
    kind: Literal["stop", "review"]
    sentence: str
    values: dict[str, Any]
    hard: bool
    counterfactual: str | None
    others: list[ReviewOther]


class ReviewStep(Output):
    """Something that happened to a review."""

    step: Literal["opened", "extended", "cleared", "upheld"]
    codes: list[Code]
    reason: str | None
    actor: str | None
    at: datetime


class Review(Output):
    """A stop or a question about an invoice. A `hard` one cannot be cleared."""

    id: UUID
    state: State
    kind: Literal["stop", "review"]
    hard: bool
    codes: list[Code]
    findings: list[ReviewFinding]
    invoice: ReviewSide
    reason: str | None
    reviewer: str | None
    opened_at: datetime
    decided_at: datetime | None
    history: list[ReviewStep]


class Reviews(Output):
    """A page of reviews, newest first. `open` counts all that wait."""

    items: list[Review]
    next_cursor: str | None
    open: int
