"""What is sent to finance an invoice. Amounts are minor units; rates and haircuts are per cent."""

from __future__ import annotations

import re
from decimal import Decimal
from typing import Annotated, Literal
from uuid import UUID

from pydantic import AwareDatetime, BeforeValidator, Field, model_validator

from core.marketplace.submitting import REASON_CODES
from core.money import MAX_MINOR
from webapp.api.models import Email, Input

_PERCENT = re.compile(r"[0-9]{1,3}(\.[0-9]{1,8})?")


def _percent(value: object) -> object:
    if isinstance(value, bool) or not isinstance(value, int | str | Decimal):
        raise ValueError("must be per cent, such as 12 or 10.75")  # noqa: TRY004 - becomes a field error.
    # Decimal() reads digits of every script, underscores and exponents as well.
    if isinstance(value, str) and not _PERCENT.fullmatch(value):
        raise ValueError("must be per cent, such as 12 or 10.75")
    return value


# Four places, as prices are quoted.
Percent = Annotated[
    Decimal, BeforeValidator(_percent), Field(ge=0, le=100, max_digits=7, decimal_places=4, allow_inf_nan=False)
]
Amount = Annotated[int, Field(strict=True, gt=0, le=MAX_MINOR)]
Deduction = Annotated[int, Field(strict=True, ge=0, le=MAX_MINOR)]
Number = Annotated[str, Field(min_length=1, max_length=50)]


class SubmitInput(Input):
    """Who is asked to confirm, and what the seller knows of the document. All but the address may be left out."""

    buyer_email: Email
    supplier_gstin: Annotated[str, Field(min_length=15, max_length=15)] | None = None
    buyer_gstin: Annotated[str, Field(min_length=15, max_length=15)] | None = None
    document_type: Literal["INV", "CRN", "DBN"] = "INV"
    document_number: Annotated[str, Field(min_length=1, max_length=16)] | None = None
    irn: Annotated[str, Field(min_length=64, max_length=64)] | None = None
    references: Annotated[list[Number], Field(max_length=20, default_factory=list)]
    files: Annotated[list[UUID], Field(max_length=10, default_factory=list)]
    credit_notes: Deduction = 0
    retention: Deduction = 0
    tax_withheld: Deduction = 0


class ConfirmInput(Input):
    """What the buyer accepts to owe; without an amount, the face less the declared deductions."""

    confirmed_amount: Amount | None = None


class RejectInput(Input):
    """Why the buyer says no. As a dispute it may still be confirmed later."""

    reason: Annotated[str, Field(min_length=1, max_length=500)]
    reason_code: str = Field("other", pattern=f"^({'|'.join(REASON_CODES)})$")
    dispute: Annotated[bool, Field(strict=True)] = False


class ListInput(Input):
    """The terms of a listing: a fixed price, or an auction whose price is the most the seller accepts."""

    mode: Literal["fixed", "auction"] = "fixed"
    ask_amount: Amount | None = None
    discount_rate: Percent | None = None
    haircut: Percent = Decimal(0)
    min_slice: Amount | None = None
    closes_at: AwareDatetime | None = None
    pricing: Literal["uniform", "pay_as_bid"] = "uniform"
    fee_plan: Literal["standard", "none"] = "standard"
    recourse: Literal["none", "reserve", "full"] = "reserve"

    @model_validator(mode="after")
    def _one_price(self) -> ListInput:
        if (self.ask_amount is None) == (self.discount_rate is None):
            raise ValueError("give either ask_amount or discount_rate")
        return self


class QuoteQuery(Input):
    """How much an investor thinks of paying; without it, all that is left. In an auction also at which rate a year."""

    amount: Annotated[int, Field(gt=0, le=MAX_MINOR)] | None = None
    rate: Percent | None = None


class FundInput(Input):
    """What the investor pays. `override` goes past the investor's own caps."""

    amount: Amount
    override: Annotated[bool, Field(strict=True)] = False


class BidInput(Input):
    """A sealed bid: principal at a rate a year. `override` goes past the investor's own caps."""

    rate: Percent
    amount: Amount
    override: Annotated[bool, Field(strict=True)] = False
