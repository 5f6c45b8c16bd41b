"""A provider that behaves as providers do: it signs each delivery, and sends it again until it hears a 2xx."""

from __future__ import annotations

import json
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from random import Random
from uuid import UUID

import requests

from connectors import registry
from core.money import Money
from tests.builders import Json, Shop
from workers.simulators.sending import Changes, build_delivery

# Answers after which a provider sends again. Anything else that is no 2xx is a fault of ours.
_AGAIN = {429, 503}


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """One event of a provider. `body` does not change when it is sent again; its signature may."""

    connector: str
    event_id: str
    body: bytes

    @property
    def known_as(self) -> str:
        """The id it is kept under. Razorpay signs its body alone, so that its id holds for that body only."""
        return (
            f"{self.event_id}:{sha256(self.body).hexdigest()[:16]}" if self.connector == "razorpay" else self.event_id
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Trade:
    """What a seller bills, and what the providers say about it, in the order in which it happened."""

    totals: Sequence[int]
    events: Sequence[Said]

    def deliveries(self, chance: Random) -> list[Said]:
        """As they arrive: shuffled, and one in five a duplicate."""
        arriving = [*self.events, *(chance.choice(self.events) for _ in range(len(self.events) // 4))]
        chance.shuffle(arriving)
        return arriving


class _Teller:
    """Writes down events, a second apart."""

    def __init__(self, chance: Random, began: datetime, account: str) -> None:
        self.chance = chance
        self.clock = began
        self.account = account
        self.events: list[Said] = []

    def razorpay(
        self, event: str, *, payment: str, amount: int, invoice: str | None = None, refund: str | None = None
    ) -> None:
        """An event of the gateway about a payment, or about a refund of it."""
        self.clock += timedelta(seconds=1)
        name, _, variant = event.partition("__")
        _, body = build_delivery(
            registry.get("razorpay"),
            name,
            secret="-",
            at=self.clock,
            message_id=payment,
            changes=Changes(
                invoice_number=invoice,
                money=Money(amount, "INR"),
                external_id=self.account,
                payment_id=payment,
            ),
            variant=variant or None,
        )
        if refund is not None:
            said: Json = json.loads(body)
            said["payload"]["refund"]["entity"]["id"] = refund
            body = json.dumps(said).encode()
        self.events.append(Said(connector="razorpay", event_id=f"evt_{len(self.events):05d}", body=body))

    def bank(self, state: str, **data: object) -> None:
        """A line on a bank account."""
        self.clock += timedelta(seconds=1)
        said: Json = {"type": f"transaction.{state}", "timestamp": self.clock.isoformat(), "data": data}
        self.events.append(
            Said(
                connector="standard_webhooks",
                event_id=f"msg_{len(self.events):05d}",
                body=json.dumps(said).encode(),
            )
        )


def invent(seed: int, *, events: int, account: str, number: Callable[[int], str]) -> Trade:
    """A few hundred payments over some invoices, in part, exactly and too much, failed, captured and refunded.

    `number` gives the number of the n-th invoice. A third of the events are lines of a bank account; the last
    invoices are named only there, so that what is proposed does not depend on the order of arrival.
    """
    chance = Random(seed)
    billed = max(10, events // 20)
    totals = [chance.randrange(1_000, 50_000) * 100 for _ in range(billed + billed // 5)]
    teller = _Teller(chance, datetime.now(UTC).replace(microsecond=0) - timedelta(hours=2), account)
    named_by_bank = list(range(billed, len(totals)))
    while len(teller.events) < events:
        if chance.random() < 0.25:
            _line(teller, totals, named_by_bank, number)
        else:
            _payment(teller, totals, billed, number)
    return Trade(totals=totals, events=teller.events)


def _payment(teller: _Teller, totals: Sequence[int], billed: int, number: Callable[[int], str]) -> None:
    chance = teller.chance
    invoice = chance.randrange(billed)
    amount = chance.choice([totals[invoice] // 3, totals[invoice] // 2, totals[invoice], totals[invoice] * 5 // 4])
    payment = f"pay_{len(teller.events):014d}"
    history = chance.choices(
        [
            ["payment.authorized", "payment.captured"],
            ["payment.failed", "payment.authorized", "payment.captured"],
            ["payment.authorized", "payment.failed"],
            ["payment.failed"],
        ],
        [16, 1, 2, 1],
    )[0]
    for event in history:
        teller.razorpay(event, payment=payment, amount=amount, invoice=number(invoice))
    if history[-1] != "payment.captured":
        return
    for part in range(chance.choice([0, 0, 1, 2])):
        refund = f"{payment.replace('pay', 'rfnd')}_{part}"
        teller.razorpay("refund.created__pending", payment=payment, refund=refund, amount=amount // 4)
        last = chance.choice(["refund.processed", "refund.processed", "refund.failed"])
        teller.razorpay(last, payment=payment, refund=refund, amount=amount // 4)


def _line(teller: _Teller, totals: Sequence[int], named: list[int], number: Callable[[int], str]) -> None:
    chance = teller.chance
    data: Json = {
        "id": f"btx_{len(teller.events):05d}",
        "account_id": f"ba_{chance.randrange(3)}",
        "amount_minor": chance.choice([-1, 1]) * chance.randrange(100, 9_000_000),
        "currency": "INR",
        "narration": chance.choice(["UPI SETTLEMENT", "RENT NOVEMBER", "CARD 4921", "NEFT FROM RAO RETAIL"]),
    }
    if named:
        invoice = named.pop()
        data |= {"amount_minor": totals[invoice], "narration": f"NEFT RAO RETAIL {number(invoice)}"}
    if chance.random() < 0.5:
        teller.bank("pending", **data)
    teller.bank("posted", **data)


@dataclass(slots=True)
class Provider:
    """Posts deliveries by several threads and keeps what it was answered."""

    base: str
    shops: dict[str, Shop]
    patience_seconds: float = 180.0
    # Deliveries a second over all threads; 0 is as fast as it goes.
    pace: float = 0.0
    threads: int = 4
    acknowledged: list[tuple[UUID, Said]] = field(default_factory=list)
    answers: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)
    given_up: list[str] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def start(self, deliveries: Sequence[Said]) -> ThreadPoolExecutor:
        """Begin to post; `shutdown` of what is returned waits for the end."""
        pool = ThreadPoolExecutor(self.threads, thread_name_prefix="provider")
        waiting = iter(deliveries)
        ends = time.monotonic() + self.patience_seconds

        def work(number: int) -> None:
            chance = Random(number)
            with requests.Session() as session:
                while True:
                    with self._lock:
                        said = next(waiting, None)
                    if said is None:
                        return
                    if self.pace:
                        time.sleep(chance.uniform(0, 2 * self.threads / self.pace))
                    self._deliver(session, said, chance, ends)

        futures = [pool.submit(work, number) for number in range(self.threads)]

        def report() -> None:
            for future in futures:
                try:
                    future.result()
                except Exception as error:  # noqa: BLE001 - whatever it was, the test must hear of it
                    self.wrong.append(f"the provider itself failed: {error!r}")

        threading.Thread(target=report, daemon=True).start()
        return pool

    def send(self, deliveries: Sequence[Said]) -> None:
        """Post everything and wait for the answers."""
        self.start(deliveries).shutdown()

    def _deliver(self, session: requests.Session, said: Said, chance: Random, ends: float) -> None:
        while True:
            answer = self.post(session, said)
            if answer is not None and answer.ok:
                with self._lock:
                    self.acknowledged.append((UUID(answer.json()["delivery_id"]), said))
                return
            if answer is not None and answer.status_code not in _AGAIN:
                self.wrong.append(f"{said.event_id}: {answer.status_code} {answer.text[:200]}")
                return
            if time.monotonic() > ends:
                self.given_up.append(said.event_id)
                return
            # A real one waits longer each time. What it waits is not what is tried here.
            time.sleep(chance.uniform(0.05, 0.4))

    def post(self, session: requests.Session, said: Said) -> requests.Response | None:
        """Sign and post once. None when nobody answered."""
        shop = self.shops[said.connector]
        headers = (
            registry.get(said.connector)
            .signature.sign(said.body, shop.secret, at=datetime.now(UTC), message_id=said.event_id)
            .headers
        )
        address = f"{self.base}/api/connectors/{said.connector}/webhook/{shop.connection_id}"
        try:
            answer = session.post(
                address, data=said.body, headers={"Content-Type": "application/json", **headers}, timeout=30
            )
        except requests.RequestException as error:
            with self._lock:
                self.answers[type(error).__name__] += 1
            return None
        with self._lock:
            self.answers[str(answer.status_code)] += 1
        return answer
