"""A bank line that names an invoice is proposed, and pays when a person says so, once."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import permutations
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core import intake
from core.errors import Conflict, NotFound
from core.events import BankTransaction, PendingSnapshot, TransactionStatus
from core.ids import new_id
from core.invoicing import invoices
from core.invoicing.references import candidate_keys, number_key
from core.money import Money
from core.reconciliation import decisions
from tests.budget import some
from tests.builders import NOW, Clockwork, Json, Shop, check_sums, open_shop, transaction, worker


@pytest.fixture(scope="module")
def context(file_database_url: str) -> Iterator[Clockwork]:
    with worker(file_database_url) as parts:
        yield parts


@pytest.fixture
def shop(context: Clockwork) -> Shop:
    return open_shop(context)


def proposals(shop: Shop) -> list[tuple[str, float]]:
    rows = shop.rows(
        "SELECT number, score FROM matches JOIN invoices ON invoices.id = invoice_id "
        "WHERE user_id = :user AND state = 'proposed' ORDER BY number"
    )
    return [(row["number"], float(row["score"])) for row in rows]


def bank_line(shop: Shop) -> UUID:
    found: UUID = shop.one("SELECT id FROM transactions WHERE user_id = :user")["id"]
    return found


def accept(shop: Shop, invoice: Json | None = None) -> UUID:
    with shop.database.session() as session:
        target = None if invoice is None else UUID(invoice["id"])
        paid = decisions.accept(session, shop.seller.id, bank_line(shop), target, NOW)
    assert paid is not None
    return paid


def decide(shop: Shop, what: str, seller: UUID | None = None) -> None:
    with shop.database.session() as session:
        {"undo": decisions.undo, "reject": decisions.reject}[what](
            session, seller or shop.seller.id, bank_line(shop), NOW
        )


def standing(shop: Shop, invoice: Json) -> str:
    return str(shop.one("SELECT status FROM invoices WHERE id = :id", id=invoice["id"])["status"])


@pytest.mark.parametrize(
    ("amount", "score"),
    [
        pytest.param("100.00", 0.98, id="exact"),
        pytest.param("99.99", 0.80, id="part"),
        pytest.param("100.01", 0.72, id="over"),
    ],
)
def test_the_amount_says_how_sure_a_proposal_is(shop: Shop, amount: str, score: float) -> None:
    number = shop.invoice()["number"]
    shop.hear(transaction(amount=amount, narration=f"NEFT {number}"))
    assert proposals(shop) == [(number, score)]


@pytest.mark.parametrize("why", ["currency", "draft", "void", "unnamed", "money out", "pending", "somebody else's"])
def test_nothing_is_proposed_without_an_open_invoice_of_the_same_seller_and_currency(
    context: Clockwork, shop: Shop, why: str
) -> None:
    owner = open_shop(context) if why == "somebody else's" else shop
    invoice = owner.invoice(currency="USD" if why == "currency" else "INR", draft=why == "draft")
    if why == "void":
        with shop.database.session() as session:
            invoices.void(session, shop.seller, invoice["id"], NOW)
    shop.hear(
        transaction(
            "pending" if why == "pending" else "posted",
            narration="hello 100" if why == "unnamed" else invoice["number"],
            amount="-100.00" if why == "money out" else "100.00",
        )
    )
    assert proposals(shop) == []


def test_an_accepted_match_pays_once_and_an_undone_one_restores_everything(shop: Shop) -> None:
    invoice = shop.invoice()
    shop.hear(transaction(narration=invoice["number"]))
    with ThreadPoolExecutor(4) as pool:
        assert len(set(pool.map(lambda _: accept(shop), range(4)))) == 1
    assert standing(shop, invoice) == "paid"
    decide(shop, "undo")
    assert standing(shop, invoice) == "open"
    assert proposals(shop) == [(invoice["number"], 0.98)]
    with pytest.raises(Conflict):
        decide(shop, "undo")
    accept(shop)
    assert standing(shop, invoice) == "paid"
    assert shop.rows("SELECT status FROM payments WHERE user_id = :user ORDER BY status") == [
        {"status": "cancelled"},
        {"status": "succeeded"},
    ]
    check_sums(shop.database)


def test_a_rejected_pair_is_not_proposed_again_and_can_still_be_accepted_by_hand(shop: Shop) -> None:
    invoice = shop.invoice()
    shop.hear(transaction(narration=invoice["number"]))
    decide(shop, "reject")
    with pytest.raises(Conflict):
        decide(shop, "reject")
    shop.hear(transaction("posted", 2, narration=f"again {invoice['number']}"))
    assert proposals(shop) == []
    with pytest.raises(NotFound):
        accept(shop)
    accept(shop, invoice)
    assert standing(shop, invoice) == "paid"


def test_another_invoice_may_be_chosen_by_hand_and_then_only_that_one(shop: Shop) -> None:
    named, other = shop.invoice(), shop.invoice()
    shop.hear(transaction(narration=named["number"]))
    assert accept(shop, other) == accept(shop) == accept(shop, other)
    with pytest.raises(Conflict):
        accept(shop, named)
    assert (standing(shop, named), standing(shop, other), proposals(shop)) == ("open", "paid", [])


def test_what_cannot_pay_is_refused(context: Clockwork, shop: Shop) -> None:
    shop.hear(transaction(narration="hello"))
    stranger = open_shop(context)
    with pytest.raises(Conflict):
        accept(shop, shop.invoice(currency="USD"))
    with pytest.raises(Conflict):
        accept(shop, shop.invoice(draft=True))
    with pytest.raises(NotFound):
        accept(shop, stranger.invoice())
    for what in ("undo", "reject"):
        with pytest.raises(Conflict):
            decide(shop, what)
        with pytest.raises(NotFound):
            decide(shop, what, stranger.seller.id)
    with shop.database.session() as session, pytest.raises(NotFound):
        decisions.accept(session, stranger.seller.id, bank_line(shop), None, NOW)
    with shop.database.session() as session, pytest.raises(NotFound):
        decisions.accept(session, shop.seller.id, new_id(), None, NOW)


@pytest.mark.parametrize(
    ("corrected", "status", "paid"),
    [
        pytest.param({"amount": "60.00"}, "partial", 6_000, id="less"),
        pytest.param({"amount": "160.00"}, "paid", 10_000, id="more"),
        pytest.param({"amount": "-100.00"}, "open", 0, id="money that left"),
        pytest.param({"currency": "USD"}, "open", 0, id="another currency"),
        pytest.param({"narration": "other words"}, "paid", 10_000, id="only the words"),
    ],
)
def test_what_an_accepted_transaction_pays_follows_the_banks_correction(
    shop: Shop, corrected: Json, status: str, paid: int
) -> None:
    invoice = shop.invoice()
    shop.hear(transaction(narration=invoice["number"]))
    accept(shop)
    shop.hear(transaction("posted", 5, **{"narration": invoice["number"], **corrected}))
    found = shop.one("SELECT status, amount_paid FROM invoices WHERE id = :id", id=invoice["id"])
    assert found == {"status": status, "amount_paid": paid}
    state = shop.one("SELECT match_state FROM transactions WHERE user_id = :user")["match_state"]
    assert (state, proposals(shop)) == ("accepted" if paid else "none", [])
    check_sums(shop.database)


@pytest.mark.parametrize("accepted", [True, False])
def test_a_transaction_that_the_bank_takes_back_withdraws_its_match(shop: Shop, accepted: bool) -> None:
    invoice = shop.invoice()
    shop.hear(transaction(narration=invoice["number"]))
    if accepted:
        accept(shop)
    shop.hear(transaction("removed", 5, narration=invoice["number"]))
    assert (standing(shop, invoice), proposals(shop)) == ("open", [])
    with pytest.raises(Conflict):
        accept(shop, invoice)
    check_sums(shop.database)


def test_a_listing_of_what_is_pending_ends_the_same_in_any_order(context: Clockwork) -> None:
    def line(name: str, version: int, status: TransactionStatus) -> BankTransaction:
        return BankTransaction(
            object_id=name, version=version, account_id="a", status=status, money=Money(1, "INR"), narration="x",
            occurred_at=NOW,
        )  # fmt: skip

    told: list[BankTransaction | PendingSnapshot] = [
        line("old", 1, TransactionStatus.PENDING),
        line("kept", 5, TransactionStatus.PENDING),
        line("booked", 1, TransactionStatus.POSTED),
        PendingSnapshot(object_id="a", version=3),
        PendingSnapshot(object_id="a", version=5),
    ]
    for order in some(list(permutations(told)), 30):
        shop = open_shop(context)
        for record in order:
            with context.database.connect() as connection:
                intake.apply(connection, shop.state(record))
        rows = shop.rows("SELECT object_id, status FROM transactions WHERE user_id = :user")
        assert {row["object_id"]: row["status"] for row in rows} == {
            "old": "removed",
            "kept": "pending",
            "booked": "posted",
        }


LETTERS = st.text("ABCXYZ", min_size=1, max_size=4)


@given(LETTERS, st.integers(1, 10**9), st.sampled_from(["-", "/", " ", "", "#"]), st.integers(0, 4))
def test_a_number_is_recognised_however_it_is_spelled(letters: str, count: int, mark: str, zeros: int) -> None:
    plain = number_key(f"{letters}-{count}")
    spelled = f"{letters.lower()}{mark}{'0' * zeros}{count}"
    assert number_key(spelled) == plain
    assert plain in candidate_keys(f"pay {spelled} now")
    assert number_key(f"{letters}-{count}0") != plain


@given(st.text(max_size=2000))
def test_any_text_at_all_is_searched_and_yields_few_keys(narration: str) -> None:
    keys = candidate_keys(narration)
    assert len(keys) == len(set(keys)) <= 5 * 512
