"""The shapes of accounts by which a customer is known."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal
from uuid import UUID

from pydantic import Field

from webapp.api.models import Input, Output

Kind = Literal["virtual_account", "upi_collect", "gateway", "bank_account", "vpa"]


class PayerAccountInput(Input):
    """An account or address that stands for one customer alone. `ifsc` goes with the numbers of accounts."""

    kind: Kind
    value: Annotated[str, Field(min_length=3, max_length=100)]
    ifsc: Annotated[str, Field(max_length=11)] | None = None


class PayerAccount(Output):
    """An account of a customer. The first three kinds are paid to, the others paid from."""

    id: UUID
    kind: Kind
    value: str
    ifsc: str | None
    created_at: datetime


class PayerAccounts(Output):
    """The accounts of a customer, oldest first."""

    items: list[PayerAccount]


class RemovedAccount(Output):
    """It is gone; what came through it stays as it is."""

    removed: bool
