"""The fifteen checks of a ledger behind four endpoints, written anew from what each of them promises.

A check takes a `Kit`, resets the ledger, and raises `Broken` with a number in it when the promise is not kept. The
seed draws amounts, names and ids. `Kit.crowd` requests are released at once where a check is about concurrency.
"""

from __future__ import annotations

import hashlib
import random
import threading
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

Send = Callable[[str, str, Any], tuple[int, Any]]


class Broken(AssertionError):
    """A promise that the ledger did not keep."""


@dataclass(slots=True)
class Kit:
    """The ledger under test. `send(method, path, body)` returns the status and the JSON that came back."""

    send: Send
    seed: int = 42
    crowd: int = 64
    many: int = 150
    currency: str = "USD"
    random: random.Random = field(init=False)

    def __post_init__(self) -> None:
        self.random = random.Random(self.seed)

    def ask(self, method: str, path: str, body: Any = None) -> Any:
        status, answer = self.send(method, path, body)
        must(status == 200, f"{method} {path} answered {status}: {answer}")
        return answer

    def reset(self) -> None:
        self.ask("POST", "/_lck/reset", {})

    def identity(self) -> str:
        return str(UUID(int=self.random.getrandbits(128), version=4))

    def name(self, word: str) -> str:
        return f"acct:{word}-{self.random.randrange(10**6)}"

    def amount(self, most: int = 5_000) -> int:
        return self.random.randint(1, most)

    def post(
        self, key: str, legs: list[tuple[str, int]], *, overdraft: bool = False, identity: str | None = None
    ) -> dict[str, Any]:
        """Legs are (account, amount); below zero is a debit."""
        found: dict[str, Any] = self.ask(
            "POST",
            "/_lck/post",
            {
                "idempotencyKey": key,
                "transactionId": identity or self.identity(),
                "allowOverdraft": overdraft,
                "legs": [leg(account, amount, self.currency) for account, amount in legs],
            },
        )
        must(found["status"] in ("APPLIED", "DUPLICATE", "REJECTED"), f"status {found['status']}")
        return found

    def move(self, key: str, source: str, target: str, amount: int, **more: Any) -> dict[str, Any]:
        return self.post(key, [(source, -amount), (target, amount)], **more)

    def fund(self, account: str, amount: int) -> None:
        answer = self.move(f"seed:{account}:{self.identity()}", "external:funding", account, amount, overdraft=True)
        must(answer["status"] == "APPLIED", f"funding {account}: {answer}")

    def balance(self, account: str) -> int:
        answer = self.ask("GET", f"/_lck/balance?account={account}&currency={self.currency}")
        return int(answer["subunits"])

    def journal(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self.ask("GET", "/_lck/journal")
        return found

    def rebuilt(self, account: str) -> int:
        return sum(signed(entry) for entry in self.journal() if entry["accountId"] == account)

    def burst(self, count: int, task: Callable[[int], Any]) -> list[Any]:
        """Release `count` tasks at once; their results in the order of their numbers."""
        results: list[Any] = [None] * count
        errors: list[BaseException] = []
        gate = threading.Barrier(count)

        def run(place: int) -> None:
            gate.wait()
            try:
                results[place] = task(place)
            except BaseException as error:  # noqa: BLE001 - told below, in the thread that asked.
                errors.append(error)

        threads = [threading.Thread(target=run, args=(place,)) for place in range(count)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        must(not errors, f"{len(errors)} of {count} failed, the first with {errors[:1]}")
        return results


def must(held: bool, detail: str) -> None:
    if not held:
        raise Broken(detail)


def leg(account: str, amount: int, currency: str) -> dict[str, Any]:
    side = "DEBIT" if amount < 0 else "CREDIT"
    return {"accountId": account, "type": side, "amountSubunits": abs(amount), "currency": currency}


def signed(entry: dict[str, Any]) -> int:
    amount = int(entry["amountSubunits"])
    return amount if entry["type"] == "CREDIT" else -amount


def _print(entries: list[dict[str, Any]]) -> list[tuple[Any, ...]]:
    return [tuple(entry.items()) for entry in entries]


def _applied(answers: list[dict[str, Any]]) -> int:
    return sum(answer["status"] == "APPLIED" for answer in answers)


def _ids(kit: Kit, count: int) -> list[str]:
    # Drawn before the crowd starts: a generator shared by threads would draw in another order each time.
    return [kit.identity() for _ in range(count)]


def inv_01_transactions_balance(kit: Kit) -> None:
    a, b, c = (kit.name(word) for word in "abc")
    kit.fund(a, 10_000)
    kit.move("t1", a, b, kit.amount())
    kit.post("t2", [(a, -300), (b, 100), (c, 200)])
    kit.post("t3", [(b, -70), (c, 71)], overdraft=True)
    sums: dict[tuple[str, str], int] = defaultdict(int)
    legs: dict[str, int] = defaultdict(int)
    for entry in kit.journal():
        sums[entry["transactionId"], entry["currency"]] += signed(entry)
        legs[entry["transactionId"]] += 1
    must(sorted(legs.values()) == [2, 2, 3], f"transactions have {sorted(legs.values())} legs")
    must(not any(sums.values()), f"transactions sum to {[total for total in sums.values() if total]}")


def inv_02_the_journal_only_grows(kit: Kit) -> None:
    a, b = kit.name("a"), kit.name("b")
    kit.fund(a, 10_000)
    kit.move("t1", a, b, 1_000)
    before = _print(kit.journal())
    kit.move("t2", b, a, 300)
    kit.move("t3", a, b, 100)
    after = _print(kit.journal())
    must(len(after) == len(before) + 4, f"{len(after)} entries, not {len(before) + 4}")
    must(after[: len(before)] == before, "earlier entries are not what they were")


def inv_03_the_hash_chain_is_intact(kit: Kit) -> None:
    a, b = kit.name("a"), kit.name("b")
    kit.fund(a, 10_000)
    for place in range(5):
        kit.move(f"t{place}", a, b, kit.amount(1_000))
    previous, entries = "GENESIS", kit.journal()
    for entry in entries:
        told = (previous, *(str(entry[name]) for name in ("transactionId", "accountId", "type")))
        told += tuple(str(entry[name]) for name in ("amountSubunits", "currency", "sequence"))
        must(entry["prevHash"] == previous, f"entry {entry['sequence']} does not name the one before it")
        must(
            entry["entryHash"] == hashlib.sha256("|".join(told).encode()).hexdigest(),
            f"the hash of entry {entry['sequence']} is not that of its content",
        )
        previous = entry["entryHash"]
    must(len(entries) == 12, f"{len(entries)} entries, not 12")


def inv_04_a_duplicate_does_nothing(kit: Kit) -> None:
    a, b, amount = kit.name("a"), kit.name("b"), kit.amount()
    kit.fund(a, 10_000)
    first = kit.move("dup", a, b, amount)
    before = len(kit.journal())
    again = kit.move("dup", a, b, amount)
    must(len(kit.journal()) == before, f"{len(kit.journal()) - before} entries more")
    must(kit.balance(b) == amount, f"balance {kit.balance(b)}, not {amount}")
    must(again["status"] == "DUPLICATE", f"the repeat was {again['status']}")
    must(again["transactionId"] == first["transactionId"], "the repeat names another transaction than the first")


def inv_05_concurrent_duplicates_are_one(kit: Kit) -> None:
    a, b, amount = kit.name("a"), kit.name("b"), kit.amount()
    kit.fund(a, 10_000)
    ids = _ids(kit, 64)
    answers = kit.burst(64, lambda place: kit.move("race", a, b, amount, identity=ids[place]))
    must(_applied(answers) == 1, f"{_applied(answers)} of 64 applied")
    must(kit.balance(b) == amount, f"balance {kit.balance(b)}, not {amount}")
    names = {answer["transactionId"] for answer in answers}
    must(len(names) == 1, f"{len(names)} names for one transaction")


def inv_06_a_hot_account_loses_nothing(kit: Kit) -> None:
    hot, amount = kit.name("hot"), kit.amount(500)
    ids = _ids(kit, kit.crowd)

    def credit(place: int) -> dict[str, Any]:
        return kit.move(f"hot-{place}", "external:funding", hot, amount, overdraft=True, identity=ids[place])

    answers = kit.burst(kit.crowd, credit)
    must(_applied(answers) == kit.crowd, f"{_applied(answers)} of {kit.crowd} applied")
    must(kit.balance(hot) == kit.crowd * amount, f"lost {kit.crowd * amount - kit.balance(hot)}")


def inv_07_value_is_conserved(kit: Kit) -> None:
    accounts = [kit.name(str(place)) for place in range(8)]
    for account in accounts:
        kit.fund(account, 10_000)
    ids, amounts = _ids(kit, kit.crowd), [kit.amount(200) for _ in range(kit.crowd)]
    kit.burst(
        kit.crowd,
        lambda place: kit.move(
            f"mv-{place}", accounts[place % 8], accounts[(place + 3) % 8], amounts[place], identity=ids[place]
        ),
    )
    total = sum(map(kit.balance, accounts))
    must(total == 80_000, f"drifted by {total - 80_000}")


def inv_08_balances_are_what_the_journal_says(kit: Kit) -> None:
    _crowded(kit, 2)


def inv_09_nobody_overdraws_in_a_drain(kit: Kit) -> None:
    a, b = kit.name("a"), kit.name("b")
    kit.fund(a, 10_000)
    ids = _ids(kit, 20)
    answers = kit.burst(20, lambda place: kit.move(f"drain-{place}", a, b, 1_000, identity=ids[place]))
    must(kit.balance(a) >= 0, f"overdrew to {kit.balance(a)}")
    must(_applied(answers) == 10, f"{_applied(answers)} of 20 applied")
    must(kit.balance(a) == 10_000 - 1_000 * _applied(answers), f"balance {kit.balance(a)}")


def inv_10_small_movements_do_not_drift(kit: Kit) -> None:
    a, b = kit.name("a"), kit.name("b")
    kit.fund(a, 100_000)
    for place in range(kit.many):
        must(kit.move(f"penny-{place}", a, b, 1)["status"] == "APPLIED", f"number {place} was not applied")
    must(kit.balance(b) == kit.many, f"drift of {kit.many - kit.balance(b)}")
    must(kit.balance(a) == 100_000 - kit.many, f"source holds {kit.balance(a)}")


def inv_11_currencies_do_not_mix(kit: Kit) -> None:
    a, b = kit.name("a"), kit.name("b")
    kit.fund(a, 10_000)
    body = {
        "idempotencyKey": "fx",
        "transactionId": kit.identity(),
        "allowOverdraft": True,
        "legs": [leg(a, -1_000, "USD"), leg(b, 1_000, "EUR")],
    }
    answer = kit.ask("POST", "/_lck/post", body)
    must(answer["status"] == "REJECTED", f"a debit of dollars closed a credit of euros: {answer['status']}")
    must(kit.balance(a) == 10_000, f"balance {kit.balance(a)}")


def inv_12_a_reversal_compensates(kit: Kit) -> None:
    a, b, amount = kit.name("a"), kit.name("b"), kit.amount()
    kit.fund(a, 10_000)
    kit.move("original", a, b, amount)
    before = _print(kit.journal())
    kit.move("compensation", b, a, amount)
    after = _print(kit.journal())
    must(after[: len(before)] == before, "the original is not what it was")
    must(len(after) == len(before) + 2, f"{len(after) - len(before)} entries more, not 2")
    must(kit.balance(b) == 0, f"net {kit.balance(b)}")


def inv_13_state_rebuilds_from_the_journal(kit: Kit) -> None:
    _crowded(kit, 6)


def inv_14_sequences_rise_by_one(kit: Kit) -> None:
    a, b = kit.name("a"), kit.name("b")
    kit.fund(a, 500_000)
    ids = _ids(kit, kit.crowd)
    kit.burst(kit.crowd, lambda place: kit.move(f"seq-{place}", a, b, 100, identity=ids[place]))
    numbers: dict[str, list[int]] = defaultdict(list)
    for entry in kit.journal():
        numbers[entry["accountId"]].append(entry["accountSequence"])
    for account, found in numbers.items():
        must(found == list(range(1, len(found) + 1)), f"{account} is numbered {found[:9]}…")
    must(len(numbers[b]) == kit.crowd, f"{len(numbers[b])} entries of {kit.crowd}")


def inv_15_a_duplicate_of_a_refused_one_is_not_applied(kit: Kit) -> None:
    a, b = kit.name("a"), kit.name("b")
    kit.fund(a, 1_000)
    ids = _ids(kit, 32)
    answers = kit.burst(32, lambda place: kit.move("refused", a, b, 50_000, identity=ids[place]))
    answers += [kit.move("refused", a, b, 50_000) for _ in range(3)]
    told = {answer["status"] for answer in answers}
    must(told == {"REJECTED"}, f"a payment that never was is told as {sorted(told)}")
    must(all(answer["reason"] for answer in answers), "no reason is given")
    must(kit.balance(a) == 1_000 and kit.balance(b) == 0, f"balances {kit.balance(a)}, {kit.balance(b)}")


def _crowded(kit: Kit, count: int) -> None:
    accounts = [kit.name(str(place)) for place in range(count)]
    for account in accounts:
        kit.fund(account, 20_000)
    ids, amounts = _ids(kit, kit.crowd), [kit.amount(600) for _ in range(kit.crowd)]

    def move(place: int) -> dict[str, Any]:
        source, target = accounts[place % count], accounts[(place + 1) % count]
        return kit.move(f"rb-{place}", source, target, amounts[place], overdraft=True, identity=ids[place])

    kit.burst(kit.crowd, move)
    entries = kit.journal()
    for account in accounts:
        said = sum(signed(entry) for entry in entries if entry["accountId"] == account)
        must(kit.balance(account) == said, f"{account} says {kit.balance(account)}, its journal {said}")


CHECKS: tuple[Callable[[Kit], None], ...] = tuple(
    check for name, check in sorted(globals().items()) if name.startswith("inv_")
)
