"""What a simulation changes in a provider's samples: `connectors/samples/<slug>/simulate.json`, and how it is done.

Its keys hold lists of paths (see `bodies`), for webhook bodies and API answers alike; paths that lead nowhere are
passed over.

* `fresh`: ids made anew. The same text is replaced wherever it stands, also in links and in API answers.
* `account`: where the connection's account stands. `time`: set to now, in the form that stands there.
* `fee` and, as a part of it, `tax`: what a gateway keeps of the amount, in the samples that tell it at all; `percent`
  says how much of a hundred, as text: {"fee": "2", "tax": "18"} is 2 % of the amount, and 18 % of those on top.
* `amount`, with `minor` for whole minor units or decimal major ones (a path that ends in `:minor` or `:major` says so
  for itself), and `currency`.
* `invoice`: what names the invoice; the last key is made where its parent object, other than the root, is there.
  `narration`: a text in which somebody names it.
* `payment`: where a refund or dispute names its payment. `earlier`: what a sample says of a payment that is an
  earlier one, taken away when that is named. `stale`: what is wrong with another amount, taken away with it.
* `zone`: the provider's time zone, for times that name none.
* `except`: for events or answers whose name matches a pattern, lists that replace the ones above.
"""

from __future__ import annotations

import json
from collections.abc import Container, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, tzinfo
from decimal import Decimal
from fnmatch import fnmatchcase
from functools import lru_cache
from typing import Any
from uuid import NAMESPACE_URL, uuid5
from zoneinfo import ZoneInfo

from connectors import samples
from core.money import Money
from workers.simulators.bodies import Body, taken_apart
from workers.simulators.places import folder_of
from workers.simulators.shapes import fresh_id, restated_amount, restated_currency, restated_text, restated_time

_LISTS = (
    "fresh", "account", "time", "amount", "fee", "tax", "currency", "invoice", "narration", "payment", "earlier",
    "stale",
)  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Changes:
    """What a simulated event should say, where its kind says such a thing."""

    invoice_number: str | None = None
    money: Money | None = None
    # The account at the provider that the event is about.
    external_id: str | None = None
    # An earlier object this one belongs to or restates, such as the payment of a refund.
    payment_id: str | None = None
    # The text of a bank transaction; one that names the invoice where there is none.
    narration: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Script:
    """One provider's simulate.json. `paths` has every list of the module's docstring."""

    paths: Mapping[str, tuple[str, ...]]
    exceptions: Mapping[str, Mapping[str, tuple[str, ...]]] = field(default_factory=dict)
    minor: bool = True
    zone: tzinfo = UTC
    percent: Mapping[str, Decimal] = field(default_factory=dict)

    def kept(self, money: Money) -> dict[str, Money]:
        """The fee, tax included, and the tax for an amount; nothing where the script does not say how much it is."""
        if "fee" not in self.percent:
            return {}
        before = Decimal(abs(money.minor)) * self.percent["fee"] / 100
        tax = round(before * self.percent.get("tax", Decimal(0)) / 100)
        return {"fee": Money(round(before) + tax, money.currency), "tax": Money(tax, money.currency)}

    def of(self, subject: str) -> Mapping[str, tuple[str, ...]]:
        """The paths for an event or an answer of this name."""
        found = dict(self.paths)
        for pattern, lists in self.exceptions.items():
            if fnmatchcase(subject, pattern):
                found |= lists
        return found


def parse(said: Mapping[str, Any]) -> Script:
    """Read a script. Raises ValueError for a key that means nothing, which would be a slip of the pen."""
    known = {*_LISTS, "minor", "zone", "except", "demo", "percent"}
    for where, keys in (("", set(said) - known), *((name, set(more) - set(_LISTS)) for name, more in
                                                    said.get("except", {}).items())):  # fmt: skip
        if keys:
            raise ValueError(f"simulate.json {where}: unknown {sorted(keys)}")
    return Script(
        paths={name: tuple(said.get(name, ())) for name in _LISTS},
        exceptions={
            pattern: {name: tuple(paths) for name, paths in lists.items()}
            for pattern, lists in said.get("except", {}).items()
        },
        minor=bool(said.get("minor", True)),
        zone=ZoneInfo(said["zone"]) if "zone" in said else UTC,
        percent={name: Decimal(share) for name, share in said.get("percent", {}).items()},
    )


@lru_cache(maxsize=64)
def load(slug: str) -> Script:
    """The script of a connector; an empty one where it has none."""
    path = folder_of(slug) / slug / samples.SCRIPT
    return parse(json.loads(path.read_bytes()) if path.is_file() else {})


@dataclass(slots=True, kw_only=True)
class Story:
    """One simulated message: what it changes, and which ids it made of those in the samples.

    Without a message id and a time it is the story that the samples tell, with nothing but the `changes`.
    """

    script: Script
    message_id: str | None = None
    at: datetime | None = None
    changes: Changes = field(default_factory=Changes)
    # From the texts of the samples to those of this story.
    renamed: dict[str, str] = field(default_factory=dict)
    # What names the account in the samples, beside what stands at the paths.
    accounts: frozenset[str] = frozenset()

    def fresh(self, old: str) -> str | None:
        """An id of this story's own for something that the samples do not have; None where it has none."""
        return str(uuid5(NAMESPACE_URL, f"{self.message_id} {old}")) if self.message_id else None

    def told(self, content: bytes, subject: str, *, kept: Container[str] = (), asked: Container[str] = ()) -> Body:
        """A sample as this story tells it.

        What is `kept` the asker knows by its name in the samples; what was `asked` for is named so in the answer.
        """
        body, paths = taken_apart(content), self.script.of(subject)
        self._learn(body, paths)
        changes = self.changes
        if changes.payment_id:
            _drop(body, paths["earlier"])
        body.rename({old: new for old, new in self.renamed.items() if old not in kept})
        if self.at:
            for slot in _slots(body, paths["time"]):
                slot.set(restated_time(slot.get(), self.at, self.script.zone))
        if changes.external_id:
            for slot in _slots(body, paths["account"]):
                slot.set(restated_text(slot.get(), changes.external_id))
        if changes.payment_id:
            for slot in _slots(body, paths["payment"]):
                slot.set(restated_text(slot.get(), changes.payment_id))
        if changes.money:
            self._price(body, paths, changes.money)
        self._name(body, paths, asked)
        return body

    def _learn(self, body: Body, paths: Mapping[str, tuple[str, ...]]) -> None:
        """Choose ids for what is told anew."""
        if self.message_id:
            for text in _texts(body, paths["fresh"]):
                self.renamed.setdefault(text, fresh_id(self.message_id, text))
        if self.changes.external_id:
            for text in (*self.accounts, *_texts(body, paths["account"])):
                self.renamed[text] = self.changes.external_id
        if self.changes.payment_id:
            for text in _texts(body, paths["payment"]):
                self.renamed[text] = self.changes.payment_id

    def _price(self, body: Body, paths: Mapping[str, tuple[str, ...]], money: Money) -> None:
        for path in paths["amount"]:
            minor = path.endswith(":minor") or (self.script.minor and not path.endswith(":major"))
            for slot in body.slots(path.removesuffix(":minor").removesuffix(":major")):
                slot.set(restated_amount(slot.get(), money, minor=minor))
        for name, kept in self.script.kept(money).items():
            for slot in _slots(body, paths[name]):
                # Where nothing is said, as of what is not collected yet, nothing is kept; the samples' zeros are small.
                if (said := slot.get()) is not None:
                    slot.set(restated_amount(said or type(said)(1), kept, minor=self.script.minor))
        for slot in _slots(body, paths["currency"]):
            slot.set(restated_currency(slot.get(), money.currency))
        _drop(body, paths["stale"])

    def _name(self, body: Body, paths: Mapping[str, tuple[str, ...]], asked: Container[str]) -> None:
        number, narration = self.changes.invoice_number, self.changes.narration
        if number:
            for path in paths["invoice"]:
                for slot in body.slots(path, create=True):
                    if slot.get() is None or str(slot.get()) not in asked:
                        slot.set(number)
            narration = narration or f"TRANSFER FOR {number}"
        if narration:
            for slot in _slots(body, paths["narration"]):
                slot.set(narration)


def _slots(body: Body, paths: Iterable[str]) -> list[Any]:
    return [slot for path in paths for slot in body.slots(path)]


def _drop(body: Body, paths: Iterable[str]) -> None:
    for path in paths:
        for slot in reversed(body.slots(path)):
            slot.drop()


def _texts(body: Body, paths: Iterable[str]) -> list[str]:
    """The ids at some paths, as text."""
    found = (slot.get() for slot in _slots(body, paths))
    return [
        str(value) for value in found if isinstance(value, str | int) and not isinstance(value, bool) and str(value)
    ]
