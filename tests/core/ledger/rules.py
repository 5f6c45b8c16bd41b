"""What must hold, as functions over a desk: run as they are by the tests, and by the planted defects, which they catch.

Each brings accounts of its own and leaves the books sound.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import timedelta
from functools import partial

import pytest
from sqlalchemy import text

from core.errors import CurrencyMismatch, Invalid, PlatformError
from core.ids import new_id
from core.ledger import (
    Account,
    AlreadyReversed,
    Balance,
    HoldExceeded,
    HoldResolved,
    InsufficientFunds,
    KeyReused,
    Leg,
    NotMirrored,
    Purpose,
    Refused,
    Release,
    Transfer,
    Unbalanced,
    UnknownHold,
    Work,
    reverse,
)
from tests.builders import until
from tests.core.ledger.desk import ISSUANCE, NOW, Desk, at_once, count, move, post_of, promise, void


def refuses(desk: Desk, error: type[PlatformError], *work: Work) -> None:
    """The work is refused by that name, and every row is as it was (L16)."""
    before = desk.everything()
    with pytest.raises(error):
        desk.do(*work)
    assert desk.everything() == before


def balances_every_transfer(desk: Desk) -> None:
    """L1."""
    a, b = desk.wallet(100), desk.wallet()

    def transfer(*legs: Leg) -> Transfer:
        return Transfer(kind="test.moved", key=str(new_id()), legs=legs, description="")

    for legs in ([Leg(a, -10), Leg(b, 9)], [Leg(a, -10)], [], [Leg(a, 10), Leg(b, 10)]):
        refuses(desk, Unbalanced, transfer(*legs))
    for amount in (0, True, 1.0, 10**16):
        refuses(desk, Invalid, transfer(Leg(a, -amount), Leg(b, amount)))  # type: ignore[arg-type]
    desk.do(transfer(Leg(a, -10), Leg(b, 4), Leg(b, 6)))
    assert desk.balance(b).balance == 10
    assert desk.problems() == []


def mixes_no_currencies(desk: Desk) -> None:
    """L11."""
    rupees, dollars = desk.wallet(100), desk.wallet(100, "USD")
    refuses(desk, CurrencyMismatch, move(rupees, dollars, 10))
    legs = (Leg(rupees, -10), Leg(desk.wallet(), 10), Leg(dollars, -5), Leg(desk.wallet(0, "USD"), 5))
    refuses(desk, CurrencyMismatch, Transfer(kind="test.moved", key=str(new_id()), legs=legs, description=""))
    refuses(desk, CurrencyMismatch, promise(rupees, dollars, 10))
    assert desk.problems() == []


def spends_only_what_is_there(desk: Desk) -> None:
    """L4, without holds, and L14: nobody is below zero but those who may be."""
    a, b = desk.wallet(100), desk.wallet()
    refuses(desk, InsufficientFunds, move(a, b, 101))
    refuses(desk, InsufficientFunds, move(a, b, 60), move(a, b, 41))
    refuses(desk, InsufficientFunds, move(a, b, 101, overdraft=True))
    desk.do(move(a, b, 60), move(b, a, 20), move(a, b, 60))
    assert (desk.balance(a).balance, desk.balance(b).balance) == (0, 100)
    assert desk.problems() == []


def spends_no_held_money(desk: Desk) -> None:
    """L4, with holds."""
    a, b = desk.wallet(100), desk.wallet()
    hold = promise(a, b, 60)
    desk.do(hold)
    assert desk.balance(a) == Balance(100, 60)
    refuses(desk, InsufficientFunds, move(a, b, 41))
    refuses(desk, InsufficientFunds, promise(a, b, 41))
    desk.do(move(a, b, 40))
    desk.do(void(hold.id))
    assert desk.balance(a) == Balance(60, 0)
    assert desk.problems() == []


def posts_a_part_and_gives_the_rest_back(desk: Desk) -> None:
    """L6, part by part."""
    a, b, c = desk.wallet(100), desk.wallet(), desk.wallet()
    hold = promise(a, b, 60)
    desk.do(hold)
    refuses(desk, HoldExceeded, post_of(hold, 61))
    # Promised to one, it cannot be given to another, nor taken from somebody else.
    refuses(desk, HoldExceeded, move(a, c, 50, posts=post_of(hold, 50).posts))
    refuses(desk, HoldExceeded, move(desk.wallet(50), b, 50, posts=post_of(hold, 50).posts))
    refuses(desk, UnknownHold, move(a, b, 50, posts=post_of(promise(a, b, 50)).posts))
    desk.do(post_of(hold, 50))
    assert (desk.balance(a), desk.balance(b)) == (Balance(50, 0), Balance(50, 0))
    refuses(desk, HoldResolved, post_of(hold, 10))
    refuses(desk, HoldResolved, void(hold.id))
    assert desk.problems() == []


def expired_holds_are_not_posted(desk: Desk) -> None:
    """L6, by time."""
    a, b = desk.wallet(100), desk.wallet()
    hold = promise(a, b, 60, expires_at=NOW + timedelta(hours=1))
    desk.do(hold)
    with pytest.raises(HoldResolved, match="has not expired"):
        desk.do(Release(hold.id, "expired"), now=NOW + timedelta(minutes=59))
    with pytest.raises(HoldResolved, match="expired at"):
        desk.do(post_of(hold), now=NOW + timedelta(hours=1))
    desk.do(Release(hold.id, "expired"), now=NOW + timedelta(hours=1))
    assert desk.balance(a) == Balance(100, 0)
    assert desk.problems() == []


def keys_stand_for_one_request(desk: Desk) -> None:
    """L7: a repeat changes nothing, another request under the key is refused."""
    a, b = desk.wallet(100), desk.wallet()
    key = str(new_id())
    (first,) = desk.do(move(a, b, 10, key))
    before = desk.everything()
    (again,) = desk.do(move(a, b, 10, key))
    assert (again.id, first.duplicate, again.duplicate) == (first.id, False, True)
    assert desk.everything() == before
    refuses(desk, KeyReused, move(a, b, 11, key))
    refuses(desk, KeyReused, move(b, a, 10, key))
    refuses(desk, KeyReused, promise(a, b, 10, key))
    twice = str(new_id())
    one, other = desk.do(move(a, b, 1, twice), move(a, b, 1, twice))
    assert (one.id, one.duplicate, other.duplicate) == (other.id, False, True)
    refuses(desk, KeyReused, *(move(a, b, amount, f"{twice}/2") for amount in (1, 2)))
    assert (desk.balance(a).balance, desk.balance(b).balance) == (89, 11)
    assert desk.problems() == []


def refused_stays_refused(desk: Desk) -> None:
    """L8: the key of a refusal is spent; another one is the way to pay."""
    a, b = desk.wallet(5), desk.wallet()
    key = str(new_id())
    first = desk.ask(move(a, b, 10, key))
    assert (first.status, first.reason) == ("refused", "insufficient_funds")
    desk.do(move(ISSUANCE, a, 100))
    again = desk.ask(move(a, b, 10, key))
    assert (again.status, again.reason) == ("refused", "insufficient_funds")
    refuses(desk, Refused, move(a, b, 10, key))
    refuses(desk, KeyReused, move(a, b, 9, key))
    assert desk.ask(move(a, b, 9, key)).reason == "ledger_key_reused"
    assert desk.balance(b).balance == 0
    assert desk.ask(move(a, b, 10)).applied
    assert desk.problems() == []


def undoes_a_transfer_once(desk: Desk) -> None:
    """L12."""
    a, b = desk.wallet(100), desk.wallet(100)
    (posted,) = desk.do(move(a, b, 30))
    refuses(desk, NotMirrored, move(b, a, 29, reverses=posted.id))
    refuses(desk, NotMirrored, move(desk.wallet(30), a, 30, reverses=posted.id))
    refuses(desk, NotMirrored, move(b, a, 30, reverses=new_id()))

    def undo() -> object:
        with desk.database.connect() as connection:
            return reverse(connection, posted.id, key=str(new_id()), description="undone", now=NOW)

    undo()
    assert (desk.balance(a).balance, desk.balance(b).balance) == (100, 100)
    with pytest.raises(AlreadyReversed):
        undo()
    desk.do(move(a, b, 30))
    refuses(desk, AlreadyReversed, move(b, a, 30, reverses=posted.id))
    assert desk.problems() == []


def recorded_time_never_runs_backwards(desk: Desk) -> None:
    """L9, for two machines whose clocks disagree."""
    a, b = desk.wallet(100), desk.wallet()
    for minutes in (10, 3, 12):
        desk.do(move(a, b, 1, effective_at=NOW), now=NOW + timedelta(minutes=minutes))
    said = desk.rows("SELECT recorded_at FROM ledger_entries WHERE account_id = :id ORDER BY sequence", id=b.id)
    assert [row["recorded_at"] - NOW for row in said] == [timedelta(minutes=minutes) for minutes in (10, 10, 12)]
    assert desk.problems() == []


def duplicates_at_once_collapse(desk: Desk, many: int = 64) -> None:
    """L7, at once: one is applied, the others hear that it was."""
    a, b = desk.wallet(100), desk.wallet()
    key = str(new_id())
    answers = at_once([partial(desk.ask, move(a, b, 7, key)) for _ in range(many)])
    assert sorted(answer if isinstance(answer, str) else answer.status for answer in answers) == [
        "applied",
        *["duplicate"] * (many - 1),
    ]
    assert (desk.balance(a).balance, desk.balance(b).balance) == (93, 7)
    assert desk.problems() == []


def refused_duplicates_at_once_collapse(desk: Desk, many: int = 16) -> None:
    """L8, at once: none is applied, and one refusal is kept."""
    a, b = desk.wallet(5), desk.wallet()
    key = str(new_id())
    answers = at_once([partial(desk.ask, move(a, b, 7, key)) for _ in range(many)])
    assert {answer if isinstance(answer, str) else (answer.status, answer.reason) for answer in answers} == {
        ("refused", "insufficient_funds")
    }
    assert len(desk.rows("SELECT FROM ledger_keys WHERE key = :key", key=key)) == 1
    assert desk.problems() == []


def a_hold_ends_once(desk: Desk, many: int = 64) -> None:
    """L6, at once: commits and voids of one hold."""
    a, b = desk.wallet(100), desk.wallet()
    hold = promise(a, b, 60)
    desk.do(hold)
    ends: list[Callable[[], object]] = [
        partial(desk.do, post_of(hold)) if place % 2 else partial(desk.do, void(hold.id)) for place in range(many)
    ]
    answers = at_once(ends)
    assert count(answers, "hold_resolved") == many - 1
    (end,) = desk.rows("SELECT outcome FROM ledger_resolutions WHERE hold_id = :id", id=hold.id)
    moved = 60 if end["outcome"] == "posted" else 0
    assert (desk.balance(a), desk.balance(b)) == (Balance(100 - moved, 0), Balance(moved, 0))
    assert desk.problems() == []


def a_transfer_is_undone_once(desk: Desk, many: int = 16) -> None:
    """L12, at once."""
    a, b = desk.wallet(100), desk.wallet(100)
    (posted,) = desk.do(move(a, b, 30))
    answers = at_once([partial(desk.do, move(b, a, 30, reverses=posted.id)) for _ in range(many)])
    assert count(answers, "already_reversed") == many - 1
    assert (desk.balance(a).balance, desk.balance(b).balance) == (100, 100)
    assert desk.problems() == []


def no_credit_is_lost(desk: Desk, many: int = 50) -> None:
    """L3 on a hot account that is new to everybody."""
    each = 10 if desk.guarded else 2
    hot = desk.wallet()

    def add() -> None:
        for _ in range(each):
            desk.do(move(ISSUANCE, hot, 3))

    assert at_once([add] * many) == [None] * many
    assert desk.balance(hot).balance == 3 * each * many
    (said,) = desk.rows("SELECT sequence FROM ledger_accounts WHERE id = :id", id=hot.id)
    assert said["sequence"] == each * many
    assert desk.problems() == []


def a_drain_ends_at_zero(desk: Desk, many: int = 40) -> None:
    """L4, at once: more want than there is, and holds count."""
    a, b = desk.wallet(100), desk.wallet()
    desk.do(promise(a, b, 20))
    work: list[Callable[[], object]] = [
        partial(desk.do, promise(a, b, 8)) if place % 4 == 0 else partial(desk.do, move(a, b, 8))
        for place in range(many)
    ]
    answers = at_once(work)
    assert count(answers, "insufficient_funds") == many - 10
    assert desk.balance(a).available == 0
    assert desk.problems() == []


def value_is_conserved(desk: Desk, people: int = 6, many: int = 16, each: int = 5) -> None:
    """L2 and no deadlock: everybody pays everybody at once, some in batches."""
    wallets = [desk.wallet(1_000) for _ in range(people)]

    def pay(start: int) -> None:
        for turn in range(each):
            place = start * each + turn
            legs = [move(wallets[(place + n) % people], wallets[(place * 3 + n + 1) % people], n + 1) for n in range(3)]
            desk.do(*(one for one in legs if one.legs[0].account != one.legs[1].account))

    assert at_once([partial(pay, start) for start in range(many)]) == [None] * many
    assert sum(desk.balance(one).balance for one in wallets) == people * 1_000
    assert desk.problems() == []


def accounts_are_locked_in_order(desk: Desk) -> None:
    """No two postings wait for each other: whoever waits for the second account has the first."""
    first, second = sorted((desk.wallet(100), desk.wallet(100)), key=lambda account: account.id)
    probe = text("SELECT 1 FROM ledger_accounts WHERE id = :id FOR NO KEY UPDATE SKIP LOCKED")

    def free(account: Account) -> bool:
        with desk.database.connect() as connection:
            return connection.execute(probe, {"id": account.id}).first() is not None

    for source, target in ((first, second), (second, first)):
        with desk.database.connect() as blocker:
            blocker.execute(text("SELECT FROM ledger_accounts WHERE id = :id FOR UPDATE"), {"id": second.id})
            waiting = threading.Thread(target=desk.do, args=(move(source, target, 1),))
            waiting.start()
            try:
                until(lambda: bool(desk.rows("SELECT FROM pg_locks WHERE NOT granted")), 5)
                held = not free(first)
            finally:
                blocker.rollback()
                waiting.join()
        assert held
    assert desk.problems() == []


def names_a_kind_of_account_once(desk: Desk) -> None:
    """Whoever comes first opens it; the others find it."""
    fresh = Account(f"lck:{new_id()}", Purpose.SCRATCH, "INR")
    answers = at_once([partial(desk.do, move(ISSUANCE, fresh, 1)) for _ in range(16)])
    assert not any(isinstance(answer, str) for answer in answers)
    assert desk.balance(fresh).balance == 16
    assert desk.problems() == []


ALONE: tuple[Callable[[Desk], None], ...] = (
    balances_every_transfer,
    mixes_no_currencies,
    spends_only_what_is_there,
    spends_no_held_money,
    posts_a_part_and_gives_the_rest_back,
    expired_holds_are_not_posted,
    keys_stand_for_one_request,
    refused_stays_refused,
    undoes_a_transfer_once,
    recorded_time_never_runs_backwards,
)
AT_ONCE: tuple[Callable[[Desk], None], ...] = (
    duplicates_at_once_collapse,
    refused_duplicates_at_once_collapse,
    a_hold_ends_once,
    a_transfer_is_undone_once,
    no_credit_is_lost,
    a_drain_ends_at_zero,
    value_is_conserved,
    accounts_are_locked_in_order,
    names_a_kind_of_account_once,
)
