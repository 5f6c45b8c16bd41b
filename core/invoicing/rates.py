"""Exchange rates by date, kept by each seller: by hand, from a CSV file, or from a provider's published file.

A rate is how many units of the home currency one unit of the other was worth on a day. The one that holds on a day
is the newest of that day or of at most FRESH_DAYS before, so that weekends and holidays need none.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from decimal import ROUND_HALF_UP, Decimal, InvalidOperation, localcontext
from typing import Any, Final, Literal
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.orm import Session

from core import audit, paging
from core.bulk import Rows
from core.decimals import spelled
from core.errors import Forbidden, Invalid, NotFound
from core.identity import Actor, Role
from core.money import exponent

# A rate is good for the day it is of and for so many days after it.
FRESH_DAYS: Final = 10
# What a file may hold.
MAX_RATES: Final = 20_000
MAX_PLACES: Final = 12
# Above it nothing is a rate; below its inverse nothing is either.
MAX_RATE: Final = Decimal(10**11)
FIRST_DAY: Final = date(1990, 1, 1)
LAST_DAY: Final = date(2199, 12, 31)
Source = Literal["hand", "csv", "provider"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Rate:
    """What one unit of `currency` was worth in `home` on a day."""

    currency: str
    home: str
    day: date
    rate: Decimal


def check(given: Rate) -> Rate:
    """The rate itself. Raises Invalid, naming the field."""
    for field, code in (("currency", given.currency), ("home", given.home)):
        try:
            exponent(code)
        except Invalid as error:
            raise Invalid(field, error.message) from error
    if given.currency == given.home:
        raise Invalid("currency", f"must be another than {given.home}, which is always worth itself")
    if not FIRST_DAY <= given.day <= LAST_DAY:
        raise Invalid("day", f"must lie in {FIRST_DAY.year} to {LAST_DAY.year}")
    places = given.rate.normalize().as_tuple().exponent if given.rate.is_finite() else None
    if not isinstance(places, int) or not 0 < given.rate <= MAX_RATE or -places > MAX_PLACES:
        raise Invalid("rate", f"must be more than 0, at most {MAX_RATE}, with up to {MAX_PLACES} decimal places")
    return given


def home_currency(session: Session, user_id: UUID) -> str:
    """The currency in which a seller keeps their books."""
    found = session.scalar(text("SELECT home_currency FROM business_profiles WHERE user_id = :id"), {"id": user_id})
    return found or "INR"


# Both directions of a pair, the newest first; of one day the one that needs no turning round.
_ON = """
    SELECT rate, turned FROM (
        (SELECT day, rate, false AS turned FROM exchange_rates WHERE user_id = :user AND currency = {currency}
            AND home = :home AND day BETWEEN {day} - :fresh AND {day} ORDER BY day DESC LIMIT 1)
        UNION ALL
        (SELECT day, rate, true FROM exchange_rates WHERE user_id = :user AND currency = :home
            AND home = {currency} AND day BETWEEN {day} - :fresh AND {day} ORDER BY day DESC LIMIT 1)
    ) AS known ORDER BY day DESC, turned LIMIT 1
"""
_RATE_ON = text(_ON.format(currency=":currency", day="CAST(:day AS date)"))
_RATES_ON = text(
    "SELECT asked.currency, asked.day, found.rate, found.turned "
    "FROM unnest(CAST(:currencies AS text[]), CAST(:days AS date[])) AS asked (currency, day) "
    f"CROSS JOIN LATERAL ({_ON.format(currency='asked.currency', day='asked.day')}) AS found"
)


def _turned(rate: Decimal, turned: bool) -> Decimal:  # noqa: FBT001
    return 1 / rate if turned else rate


def rate_on(session: Session, user_id: UUID, currency: str, home: str, day: date) -> Decimal | None:
    """How many units of `home` one unit of `currency` is worth on a day, or None where nothing fresh is known.

    A rate of the pair the other way round serves as well; the newer of the two holds.
    """
    if currency == home:
        return Decimal(1)
    row = session.execute(
        _RATE_ON, {"user": user_id, "currency": currency, "home": home, "day": day, "fresh": FRESH_DAYS}
    ).one_or_none()
    return None if row is None else _turned(row.rate, row.turned)


def rates_on(
    session: Session, user_id: UUID, home: str, asked: Collection[tuple[str, date]]
) -> dict[tuple[str, date], Decimal]:
    """`rate_on` for many (currency, day), in one query. What has no rate is not in the answer."""
    found = {(currency, day): Decimal(1) for currency, day in asked if currency == home}
    others = sorted({(currency, day) for currency, day in asked if currency != home})
    if others:
        pairs = Rows(currencies="text", days="date").arrays(
            currencies=(currency for currency, _ in others), days=(day for _, day in others)
        )
        for row in session.execute(_RATES_ON, {**pairs, "user": user_id, "home": home, "fresh": FRESH_DAYS}):
            found[row.currency, row.day] = _turned(row.rate, row.turned)
    return found


def convert(minor: int, currency: str, home: str, rate: Decimal) -> int:
    """An amount of `currency` in minor units as minor units of `home`, rounded half up, once.

    >>> convert(10_00, "USD", "INR", Decimal("84.125")), convert(-1, "JPY", "INR", Decimal("0.555"))
    (84125, -56)
    """
    with localcontext(prec=60):
        scaled = (abs(minor) * rate).scaleb(exponent(home) - exponent(currency))
        whole = int(scaled.quantize(Decimal(1), rounding=ROUND_HALF_UP))
    return -whole if minor < 0 else whole


_ROWS = Rows(currency="text", home="text", day="date", rate="numeric")
# What a person wrote down or brought stands against what a provider publishes.
_WRITE = text(
    "INSERT INTO exchange_rates AS known (user_id, currency, home, day, rate, source, updated_at) "
    f"SELECT :user, currency, home, day, rate, :source, :now FROM {_ROWS.source('given')} "
    "ON CONFLICT (user_id, currency, home, day) DO UPDATE "
    "SET rate = excluded.rate, source = excluded.source, updated_at = excluded.updated_at "
    "WHERE (known.rate, known.source) <> (excluded.rate, excluded.source) "
    "AND (known.source = 'provider' OR excluded.source <> 'provider') RETURNING xmax = 0 AS added"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Written:
    """How many rates were new, how many were another before, and how many stayed as they were."""

    added: int
    changed: int
    unchanged: int


def write(session: Session, actor: Actor, rates: Sequence[Rate], source: Source, now: datetime) -> Written:
    """Keep checked rates of a seller; a repeat changes nothing. Raises Forbidden for everybody else.

    Of several for one day the last one holds. What a provider says does not replace what a person wrote.
    """
    sellers_only(actor)
    written = put(session, actor.id, rates, source, now)
    if written.added or written.changed:
        data: dict[str, object] = {"source": source, "added": written.added, "changed": written.changed}
        if len(rates) == 1:
            data |= {"currency": rates[0].currency, "day": rates[0].day.isoformat(), "rate": str(rates[0].rate)}
        audit.record(session, actor, "rates.written", "exchange_rates", actor.id, data, now)
    return written


def sellers_only(actor: Actor) -> None:
    """Raise Forbidden for everybody who keeps no rates."""
    if actor.role is not Role.SELLER:
        raise Forbidden("only sellers keep exchange rates")


def put(session: Session, user_id: UUID, rates: Sequence[Rate], source: Source, now: datetime) -> Written:
    """The same without a person: nobody is asked whether they may, and who did it is the caller's to record."""
    last = {(one.currency, one.home, one.day): one for one in rates}
    # In one order everywhere, so that two who write the same wait for each other once.
    rows = [
        {"currency": one.currency, "home": one.home, "day": one.day, "rate": one.rate}
        for _, one in sorted(last.items())
    ]
    done = session.scalars(_WRITE, {**_ROWS.parameters(rows), "user": user_id, "source": source, "now": now}).all()
    return Written(added=done.count(True), changed=done.count(False), unchanged=len(rows) - len(done))


def remove(session: Session, actor: Actor, *, currency: str, home: str, day: date, now: datetime) -> None:
    """Forget a rate. Raises NotFound, and Invalid for what is no currency."""
    for code in (currency, home):
        exponent(code)
    gone = session.execute(
        text(
            "DELETE FROM exchange_rates WHERE user_id = :user AND currency = :currency AND home = :home AND day = :day "
            "RETURNING rate"
        ),
        {"user": actor.id, "currency": currency, "home": home, "day": day},
    ).one_or_none()
    if gone is None:
        raise NotFound("exchange rate", f"{currency} of {day.isoformat()}")
    data = {"currency": currency, "day": day.isoformat(), "rate": str(gone.rate)}
    audit.record(session, actor, "rates.removed", "exchange_rates", actor.id, data, now)


def list_rates(
    session: Session, actor: Actor, *, limit: int = 25, cursor: str | None = None, currency: str | None = None
) -> dict[str, Any]:
    """A seller's own rates, the newest day first; an operator's are those of everybody."""
    conditions = ["true" if actor.is_operator else "user_id = :user"]
    values: dict[str, Any] = {"user": actor.id, "limit": paging.check_limit(limit) + 1}
    if currency:
        conditions.append("currency = :currency")
        values["currency"] = currency
    if cursor:
        day, other, home, user = paging.after_places(cursor, 4)
        try:
            values |= {"day": date.fromisoformat(day), "other": other, "home": home, "after": UUID(user)}
        except ValueError as error:
            raise Invalid("cursor", "is not one that this list gave out") from error
        conditions.append(
            "(day < :day OR (day = :day AND (exchange_rates.currency, home, user_id) > (:other, :home, :after)))"
        )
    rows = session.execute(
        text(
            "SELECT user_id, currency, home, day, rate, source, updated_at FROM exchange_rates "
            f"WHERE {' AND '.join(conditions)} ORDER BY day DESC, currency, home, user_id LIMIT :limit"
        ),
        values,
    ).all()
    last = rows[limit - 1] if len(rows) > limit else None
    return {
        "items": [_shape(row) for row in rows[:limit]],
        "next_cursor": None
        if last is None
        else paging.spell_places([last.day.isoformat(), last.currency, last.home, str(last.user_id)]),
    }


def _shape(row: Any) -> dict[str, Any]:
    return {
        "currency": row.currency,
        "home": row.home,
        "day": row.day,
        "rate": spelled(row.rate),
        "source": row.source,
        "updated_at": row.updated_at,
    }


def decimal_of(given: str) -> Decimal:
    """A rate as it was typed: digits and a point. Raises Invalid."""
    try:
        value = Decimal(given)
    except InvalidOperation:
        value = Decimal("NaN")
    if not value.is_finite() or "e" in given.lower() or "_" in given or len(given) > 32:
        raise Invalid("rate", "must be a number with a point, such as 84.12")
    return value


def day_of(given: str) -> date:
    """A day as it was typed. Raises Invalid."""
    try:
        # Other ISO spellings, such as weeks, are nobody's.
        return date.fromisoformat(given if len(given) == 10 else "")
    except ValueError as error:
        raise Invalid("day", "must be a day such as 2026-11-21") from error


def cross(quoted: Mapping[str, Decimal], base: str, home: str, day: date) -> list[Rate]:
    """Rates to `home` out of what one unit of `base` is worth in each currency; none where `home` is not quoted.

    A cross rate is rounded to MAX_PLACES.
    """
    worth = {**quoted, base: Decimal(1)}
    if home not in worth:
        return []
    step = Decimal(1).scaleb(-MAX_PLACES)
    found = []
    # Wide enough for the widest of what `decimal_of` takes: it is refused here for its size, not by the arithmetic.
    with localcontext(prec=100):
        for currency, value in worth.items():
            rate = (worth[home] / value).quantize(step, rounding=ROUND_HALF_UP) if value > 0 else Decimal(0)
            if currency != home and 0 < rate <= MAX_RATE:
                found.append(Rate(currency=currency, home=home, day=day, rate=rate))
    return found
