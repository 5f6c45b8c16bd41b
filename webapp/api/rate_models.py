"""The shapes of exchange rates: what may be sent, and what comes back."""

from __future__ import annotations

from datetime import date, datetime
from decimal import Decimal
from typing import Annotated, Literal

from pydantic import BeforeValidator, Field

from webapp.api.contact_models import _no_bool
from webapp.api.models import Currency, Day, Input, Output, PageQuery

RateValue = Annotated[Decimal, BeforeValidator(_no_bool), Field(gt=0, le=10**11, allow_inf_nan=False)]


class RatesQuery(PageQuery):
    """Which rates."""

    currency: Currency | None = None


class RateOnQuery(Input):
    """The rate of a currency to `home` (without it my home currency) on a day (without it today)."""

    currency: Currency
    home: Currency | None = None
    day: Day | None = None


class RateInput(Input):
    """What one unit of `currency` was worth in `home` (without it my home currency) on a day."""

    currency: Currency
    day: Day
    rate: RateValue
    home: Currency | None = None


class ExchangeRate(Output):
    """A rate, as decimal text, and how it came here."""

    currency: str
    home: str
    day: date
    rate: str
    source: Literal["hand", "csv", "provider"]
    updated_at: datetime


class ExchangeRates(Output):
    """A page of rates, the newest day first; `home` is my home currency."""

    items: list[ExchangeRate]
    next_cursor: str | None
    home: str


class RateOn(Output):
    """The rate that holds on a day; null where nothing is known of that day or the ten before."""

    currency: str
    home: str
    day: date
    rate: str | None


class WrittenRates(Output):
    """How many rates were new, how many were another before, and how many stayed."""

    added: int
    changed: int
    unchanged: int


class LineProblem(Output):
    """A line of a file that is wrong, counted from 1."""

    line: int
    message: str


class ImportedRates(WrittenRates):
    """What came of a file: with a single wrong line nothing of it is kept."""

    kind: Literal["csv", "provider"]
    errors: list[LineProblem]


class RateFeedInput(Input):
    """Whether my rates are fetched from the European Central Bank."""

    on: bool


class RateFeed(Output):
    """How the fetching of rates stands. `error` is why the last try failed; it is tried again at `due_at`."""

    on: bool
    due_at: datetime | None
    fetched_at: datetime | None
    newest_day: date | None
    error: str | None


class RemovedRate(Output):
    """Nothing is left of it."""

    removed: bool
