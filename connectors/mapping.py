"""From an event to a record by a mapping that its owner typed: which place of the body is which field."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from enum import StrEnum
from typing import TypeVar

from connectors.base import Reader
from connectors.drafts import Draft
from connectors.expressions import Expression
from connectors.payload import MAX_IDENTIFIER, Payload, micros
from core import events
from core.errors import Invalid
from core.events import PaymentStatus, PayoutStatus, Record, Reference, RefundStatus, TransactionStatus
from core.money import Money, exponent

S = TypeVar("S", bound=StrEnum)

AMOUNTS = ("minor", "decimal", "number")
TIMES = ("iso", "epoch", "epoch_millis")
MAX_STATES = 50
OFFSET = re.compile(r"([+-])(\d\d):([0-5]\d)")
# What may name the invoice, best first.
NAMES = ("invoice", "reference", "description")


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """A kind of record: its statuses, the fields it cannot do without, and those it can."""

    statuses: type[StrEnum]
    needed: tuple[str, ...]
    optional: tuple[str, ...]
    build: Callable[[Seen], Record]


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """What a mapping found in one event. `values` holds the fields by their names; absent ones are not in it."""

    values: Payload
    status: str
    money: Money
    at: datetime
    version: int

    def words(self, name: str) -> str | None:
        """Text, or a whole number as text; None where it is absent or empty."""
        value = self.values.value.get(name) if isinstance(self.values.value, dict) else None
        return str(self.values.integer(name)) if type(value) is int else self.values.optional_text(name)

    def positive(self) -> Money:
        """The amount, of more than zero. Raises MalformedPayload."""
        if self.money.minor <= 0:
            raise self.values.wrong("amount", "more than zero")
        return self.money


def _payment(seen: Seen) -> Record:
    named = [(rank, seen.words(name)) for rank, name in enumerate(NAMES)]
    status = PaymentStatus(seen.status)
    return events.Payment(
        object_id=seen.values.name("id"),
        version=seen.version,
        status=status,
        money=seen.positive(),
        occurred_at=seen.at,
        references=tuple(Reference(rank, text) for rank, text in named if text and len(text) <= MAX_IDENTIFIER),
        method=seen.words("method"),
        payer_name=seen.words("payer_name"),
        payer_email=seen.words("payer_email"),
        bank_reference=seen.words("bank_reference"),
        description=seen.words("description"),
        failure=seen.words("failure") if status is PaymentStatus.FAILED else None,
    )


def _refund(seen: Seen) -> Record:
    return events.Refund(
        object_id=seen.values.name("id"),
        version=seen.version,
        payment_id=seen.values.name("payment_id"),
        status=RefundStatus(seen.status),
        money=seen.positive(),
        occurred_at=seen.at,
        reason=seen.words("reason"),
    )


def _transaction(seen: Seen) -> Record:
    return events.BankTransaction(
        object_id=seen.values.name("id"),
        version=seen.version,
        account_id=seen.values.name("account_id"),
        status=TransactionStatus(seen.status),
        money=seen.money,
        narration=seen.words("narration") or "",
        occurred_at=seen.at,
        counterparty=seen.words("counterparty"),
        bank_reference=seen.words("bank_reference"),
        category=seen.words("category"),
    )


def _payout(seen: Seen) -> Record:
    return events.Payout(
        object_id=seen.values.name("id"),
        version=seen.version,
        status=PayoutStatus(seen.status),
        money=seen.positive(),
        occurred_at=seen.at,
        bank_reference=seen.words("bank_reference"),
    )


KINDS: Mapping[str, Kind] = {
    "payment": Kind(
        statuses=PaymentStatus,
        needed=("id",),
        optional=(*NAMES, "method", "payer_name", "payer_email", "bank_reference", "failure"),
        build=_payment,
    ),
    "refund": Kind(statuses=RefundStatus, needed=("id", "payment_id"), optional=("reason",), build=_refund),
    "transaction": Kind(
        statuses=TransactionStatus,
        needed=("id", "account_id"),
        optional=("narration", "counterparty", "bank_reference", "category"),
        build=_transaction,
    ),
    "payout": Kind(statuses=PayoutStatus, needed=("id",), optional=("bank_reference",), build=_payout),
}


def reader(draft: Draft) -> Reader:
    """The reader that a mapping describes. Raises Invalid."""
    draft.only("record", "fields", "amount", "currency", "direction", "time", "version", "status")
    name = draft.choice("record", tuple(KINDS))
    kind = KINDS[name]
    fields = _fields(draft.part("fields"), kind)
    amount, currency, status = _amount(draft), _currency(draft), _status(draft, kind.statuses)
    moment = _time(draft.part("time"))
    version = _version(draft)

    def read(item: Payload) -> list[Record]:
        found = {field: value for field, one in fields.items() if (value := one.find(item)) is not None}
        values = Payload(found)
        at = moment(item)
        seen = Seen(
            values=values,
            status=status(item),
            money=amount(item, currency(item)),
            at=at,
            version=micros(at) if version is None else version(item),
        )
        return [kind.build(seen)]

    return read


def _at(name: str, expression: Expression, item: Payload) -> Payload:
    """What an expression finds, as the one value of an object, so that it is read like any other."""
    value = expression.find(item)
    return Payload({} if value is None else {name: value})


def _fields(draft: Draft, kind: Kind) -> dict[str, Expression]:
    draft.only(*kind.needed, *kind.optional)
    found = {name: draft.expression(name) for name in kind.needed}
    for name in kind.optional:
        if expression := draft.optional_expression(name):
            found[name] = expression
    return found


def _amount(draft: Draft) -> Callable[[Payload, str], Money]:
    part = draft.part("amount")
    part.only("path", "form")
    path, form = part.expression("path"), part.choice("form", AMOUNTS)
    leaves = _leaves(draft) if draft.has("direction") else None

    def amount(item: Payload, currency: str) -> Money:
        found = _at("amount", path, item)
        if form == "minor":
            money = found.minor_money("amount", currency)
        elif form == "decimal":
            money = found.decimal_money("amount", currency)
        else:
            money = found.number_money("amount", currency)
        if leaves is None:
            return money
        if money.minor < 0:
            raise found.wrong("amount", "no minus where a direction is given")
        return -money if leaves(item) else money

    return amount


def _leaves(draft: Draft) -> Callable[[Payload], bool]:
    if draft.choice("record", tuple(KINDS)) != "transaction":
        raise Invalid(draft.place("direction"), "only a transaction has a direction; other amounts are positive")
    part = draft.part("direction")
    part.only("path", "in", "out")
    path = part.expression("path")
    words = dict.fromkeys(part.words("in"), False) | dict.fromkeys(part.words("out"), True)
    if len(set(words.values())) < 2 or len(words) > MAX_STATES:
        raise Invalid(
            part.place("out"), f"some words for each direction are needed, at most {MAX_STATES}, none for both"
        )
    return lambda item: _word(_at("direction", path, item), "direction").choice("direction", words)


def _currency(draft: Draft) -> Callable[[Payload], str]:
    part = draft.part("currency")
    part.only("path", "fixed")
    if part.has("path") == part.has("fixed"):
        raise Invalid(part.place("path"), "either a path or a fixed currency is needed")
    if part.has("path"):
        path = part.expression("path")
        return lambda item: _at("currency", path, item).currency("currency", any_case=True)
    code = part.text("fixed")
    try:
        exponent(code)
    except Invalid as error:
        raise Invalid(part.place("fixed"), error.message) from None
    return lambda _item: code


def _time(part: Draft) -> Callable[[Payload], datetime]:
    part.only("path", "form", "zone")
    path, form = part.expression("path"), part.choice("form", TIMES)
    zone = _zone(part) if part.has("zone") else None

    def moment(item: Payload) -> datetime:
        found = _at("time", path, item)
        if form == "epoch":
            return found.epoch("time")
        return found.epoch_millis("time") if form == "epoch_millis" else found.iso("time", zone=zone)

    return moment


def _zone(part: Draft) -> tzinfo:
    """An offset such as +05:30, for times that name none."""
    spelled = part.text("zone")
    if spelled == "UTC":
        return UTC
    found = OFFSET.fullmatch(spelled)
    if found is None or int(found[2]) > 14:
        raise Invalid(part.place("zone"), "must be UTC or an offset such as +05:30")
    offset = timedelta(hours=int(found[2]), minutes=int(found[3]))
    return timezone(-offset if found[1] == "-" else offset)


def _version(draft: Draft) -> Callable[[Payload], int] | None:
    """The sender's count or time of a statement; without one, the record's own time decides which is newer."""
    if not draft.has("version"):
        return None
    part = draft.part("version")
    if part.choice("form", (*TIMES, "count")) == "count":
        part.only("path", "form")
        path = part.expression("path")
        return lambda item: _at("version", path, item).integer("version")
    moment = _time(part)
    return lambda item: micros(moment(item))


def _status(draft: Draft, statuses: type[StrEnum]) -> Callable[[Payload], str]:
    part = draft.part("status")
    part.only("path", "map", "fixed")
    if part.has("path") == part.has("fixed"):
        raise Invalid(part.place("path"), "either a path or a fixed status is needed")
    known = [one.value for one in statuses]
    if part.has("fixed"):
        word = part.choice("fixed", known)
        return lambda _item: word
    path, meanings = part.expression("path"), part.texts("map", most=MAX_STATES)
    if not meanings or set(meanings.values()) - set(known):
        raise Invalid(part.place("map"), f"must say which word means which of {', '.join(known)}")
    return lambda item: _word(_at("status", path, item), "status").choice("status", meanings)


def _word(found: Payload, name: str) -> Payload:
    """A state that is told as a number, or as true or false, is read as that word."""
    value = found.value.get(name) if isinstance(found.value, dict) else None
    if type(value) is bool:
        return Payload({name: "true" if value else "false"})
    return Payload({name: str(found.integer(name))}) if type(value) is int else found
