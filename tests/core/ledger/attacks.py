"""What the owner of the tables might write by hand, and the one guard that stands against each."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from core.ids import new_id
from tests.core.ledger.by_hand import Hand
from tests.core.ledger.desk import NOW

PARTS = tuple(f"ledger_entries_{part}" for part in range(4))
KEY_PARTS = tuple(f"ledger_keys_{part}" for part in range(8))
APPEND_ONLY = (
    "ledger_keys", "ledger_transfers", "ledger_entries", "ledger_reversals", "ledger_resolutions", "ledger_chain",
    "ledger_anchors",
)  # fmt: skip


def trigger(name: str, table: str) -> str:
    return f"DROP TRIGGER {name} ON {table}"


def constraint(name: str, table: str) -> str:
    return f"ALTER TABLE {table} DROP CONSTRAINT {name} CASCADE"


@dataclass(frozen=True, slots=True)
class Attack:
    """An act, the words of its refusal, and the SQL that takes its guard away."""

    name: str
    act: Callable[[Hand], object]
    why: str
    guard: str


def _sql(*statements: str) -> Callable[[Hand], object]:
    def act(hand: Hand) -> None:
        for statement in statements:
            hand.run(statement)

    return act


# A row that others name is kept by them as well.
FOREIGN_KEYS = """
DO $$ DECLARE one record; BEGIN
    FOR one IN SELECT conname, conrelid::regclass AS owner FROM pg_constraint
        WHERE contype = 'f' AND conparentid = 0 AND conrelid::regclass::text LIKE 'ledger_%'
    LOOP EXECUTE format('ALTER TABLE %s DROP CONSTRAINT %I', one.owner, one.conname); END LOOP;
END $$"""
CHECKED = trigger("ledger_entries_check", "ledger_entries")


def _sequence_twice(hand: Hand) -> None:
    hand.entries(hand.transfer(), [(hand.a, -1), (hand.b, 1)], sequence=1)


def _gap(hand: Hand) -> None:
    balance, sequence = hand.stands(hand.a)
    hand.touched[hand.a] = (balance, sequence + 1)
    hand.pay((hand.a, -1), (hand.b, 1))


def _beside_the_parent(hand: Hand) -> None:
    """One leg at a time, straight into the partition, where the parent's trigger does not look."""
    made = hand.transfer()
    for part in PARTS:
        place = hand.connection.exec_driver_sql(
            f"SELECT satisfies_hash_partition('ledger_entries'::regclass, 4, {part[-1]}, '{hand.a.id}'::uuid)"
        ).scalar()
        if place:
            hand.entries(made, [(hand.a, 7)], table=part)


def _resolve(outcome: str, amount: int, transfer: str) -> Callable[[Hand], object]:
    """End the open hold by hand, with what is held set right."""

    def act(hand: Hand) -> None:
        made = {"none": None, "paid": hand.paid}.get(transfer)
        if transfer == "enough":
            made = hand.pay((hand.a, -amount), (hand.b, amount))
        hand.run("UPDATE ledger_accounts SET held = held - 300 WHERE id = :a")
        hand.run(
            "INSERT INTO ledger_resolutions (hold_id, outcome, amount, transfer_id, at) "
            "VALUES (:hold, :outcome, :amount, :made, :now)",
            outcome=outcome,
            amount=amount,
            made=made,
        )

    return act


def _hold(held: int, is_open: str = "true", currency: str = "INR") -> Callable[[Hand], object]:
    def act(hand: Hand) -> None:
        hand.run("UPDATE ledger_accounts SET held = held + :held WHERE id = :a", held=held)
        hand.run(
            "INSERT INTO ledger_keys (key, body_hash, outcome, subject_id, created_at) "
            "VALUES ('by hand', decode(repeat('ab', 32), 'hex'), 'applied', :voided, :now)"
        )
        hand.run(
            "INSERT INTO ledger_holds (id, account_id, to_account_id, currency, amount, key, description, created_at, "
            f"open) SELECT CAST(:made AS uuid), :a, :b, '{currency}', 40, key, '', :now, {is_open} "
            "FROM ledger_keys WHERE key = :key",
            made=_keyed(hand),
            key=f"hold {hand.hold}",
        )

    return act


def _keyed(hand: Hand) -> object:
    made = new_id()
    hand.run(
        "INSERT INTO ledger_keys (key, body_hash, outcome, subject_id, created_at) "
        "VALUES (:key, decode(repeat('ab', 32), 'hex'), 'applied', :made, :now)",
        key=f"hold {hand.hold}",
        made=made,
    )
    return made


def _reversal(*, mirrored: bool) -> Callable[[Hand], object]:
    def act(hand: Hand) -> None:
        original = hand.undone if mirrored else hand.paid
        made = hand.pay((hand.b, -5), (hand.a, 5))
        hand.run(
            "INSERT INTO ledger_reversals (original, transfer_id) VALUES (:original, :made)",
            original=original,
            made=made,
        )

    return act


_LINK = (
    "INSERT INTO ledger_chain (position, entry_id, account_id, sequence, prev_hash, hash) "
    "SELECT {position}, due.entry_id, due.account_id, due.sequence, prev_hash, hash "
    "FROM (SELECT * FROM ledger_chain ORDER BY position DESC LIMIT 1) AS chain, "
    "(SELECT * FROM ledger_unsealed LIMIT 1) AS due"
)

ATTACKS: tuple[Attack, ...] = (
    # L1, L2
    Attack("L1 legs that do not balance", lambda h: h.pay((h.a, -10), (h.b, 9)), "sum to -1", CHECKED),
    Attack("L1 one leg alone", lambda h: h.pay((h.a, 7)), "has 1 entries", CHECKED),
    Attack(
        "L1 more legs for an old transfer",
        lambda h: h.entries(h.paid, [(h.a, -10), (h.b, 10)]),
        "or had others before",
        CHECKED,
    ),
    Attack(
        "L1 one leg beside the parent table",
        _beside_the_parent,
        "has 1 entries",
        "; ".join(trigger(f"{part}_check", part) for part in PARTS),
    ),
    Attack(
        "L1 a transfer without legs",
        lambda h: h.transfer(),
        "has no entries",
        trigger("ledger_transfers_whole", "ledger_transfers"),
    ),
    # L3
    Attack(
        "L3 a balance changed alone",
        _sql("UPDATE ledger_accounts SET balance = balance + 1 WHERE id = :b"),
        "its newest entry says",
        trigger("ledger_accounts_balance", "ledger_accounts"),
    ),
    Attack(
        "L3 entries that the accounts do not know",
        lambda h: h.pay((h.a, -10), (h.b, 10), move_accounts=False),
        "does not stand where its entry",
        CHECKED,
    ),
    Attack(
        "L3 an entry that does not add up",
        lambda h: h.pay((h.a, -10), (h.b, 10), balance_before=999),
        "ledger_entries_adds_up",
        f"{constraint('ledger_entries_adds_up', 'ledger_entries')}; {CHECKED}",
    ),
    Attack(
        "L3 an entry that does not continue the one before",
        lambda h: (h.touched.update({h.a: (5_000, h.stands(h.a)[1])}), h.pay((h.a, -10), (h.b, 10))),
        "does not follow the one before it",
        CHECKED,
    ),
    # L4, L14
    Attack(
        "L4 more than there is",
        lambda h: h.pay((h.a, -971), (h.b, 971)),
        "ledger_accounts_spendable",
        constraint("ledger_accounts_spendable", "ledger_accounts"),
    ),
    Attack(
        "L4 what is held",
        lambda h: h.pay((h.a, -700), (h.b, 700)),
        "ledger_accounts_spendable",
        constraint("ledger_accounts_spendable", "ledger_accounts"),
    ),
    Attack(
        "L4 less held than promised",
        _sql("UPDATE ledger_accounts SET held = 0 WHERE id = :a"),
        "its open holds say 300",
        trigger("ledger_accounts_held", "ledger_accounts"),
    ),
    Attack(
        "L4 a promise that the account does not know",
        _hold(0),
        "its open holds say 340",
        trigger("ledger_holds_sum", "ledger_holds"),
    ),
    Attack(
        "L14 a wallet that may go below zero",
        _sql("UPDATE ledger_accounts SET overdraft = true WHERE id = :a"),
        "ledger_accounts_overdraft",
        constraint("ledger_accounts_overdraft", "ledger_accounts"),
    ),
    Attack(
        "L14 an account that begins with money",
        _sql(
            "INSERT INTO ledger_accounts (id, owner, purpose, currency, balance, overdraft) "
            "VALUES (:new, 'user:x', 'wallet', 'INR', 5, false)"
        ),
        "begins empty",
        trigger("ledger_accounts_begin_empty", "ledger_accounts"),
    ),
    # L5: a NULL is a value like any other.
    Attack(
        "L5 an invoice named later",
        _sql("UPDATE ledger_transfers SET invoice_id = :new WHERE id = :paid"),
        "append-only",
        trigger("ledger_transfers_append_only", "ledger_transfers"),
    ),
    Attack(
        "L5 an entry changed beside the parent table",
        _sql(*(f"UPDATE {part} SET effective_at = :now WHERE transfer_id = :paid" for part in PARTS)),
        "append-only",
        trigger("ledger_entries_append_only", "ledger_entries"),
    ),
    Attack(
        "L5 an account given to another",
        _sql("UPDATE ledger_accounts SET owner = 'user:me' WHERE id = :b"),
        "append-only",
        trigger("ledger_accounts_keep", "ledger_accounts"),
    ),
    Attack(
        "L5 a term of a hold changed",
        _sql("UPDATE ledger_holds SET expires_at = :now WHERE id = :hold"),
        "append-only",
        trigger("ledger_holds_keep", "ledger_holds"),
    ),
    Attack(
        "L5 a resolution changed",
        _sql("UPDATE ledger_resolutions SET at = :now WHERE hold_id = :voided"),
        "append-only",
        trigger("ledger_resolutions_append_only", "ledger_resolutions"),
    ),
    Attack(
        "L5 a refusal forgotten",
        _sql("UPDATE ledger_keys SET created_at = :now WHERE subject_id = :paid"),
        "append-only",
        trigger("ledger_keys_append_only", "ledger_keys"),
    ),
    *(
        Attack(
            f"L5 {table} deleted",
            _sql(f"DELETE FROM {table}"),
            "append-only",
            f"{FOREIGN_KEYS}; {trigger(f'{table}_append_only', table)}",
        )
        for table in APPEND_ONLY
    ),
    *(
        Attack(
            f"L5 {table} emptied",
            _sql(f"TRUNCATE {table} CASCADE"),
            "append-only",
            "; ".join(
                trigger(f"{one}_no_truncate", one)
                for one in (*APPEND_ONLY, *PARTS, *KEY_PARTS, "ledger_accounts", "ledger_holds")
            ),
        )
        for table in (*APPEND_ONLY, *PARTS, *KEY_PARTS, "ledger_accounts", "ledger_holds")
    ),
    # L6
    Attack(
        "L6 a hold closed alone",
        _sql(
            "UPDATE ledger_accounts SET held = 0 WHERE id = :a",
            "UPDATE ledger_holds SET open = false WHERE id = :hold",
        ),
        "append-only",
        trigger("ledger_holds_keep", "ledger_holds"),
    ),
    Attack(
        "L6 a hold opened again",
        _sql(
            "UPDATE ledger_accounts SET held = held + 60 WHERE id = :a",
            "UPDATE ledger_holds SET open = true WHERE id = :voided",
        ),
        "append-only",
        trigger("ledger_holds_keep", "ledger_holds"),
    ),
    Attack(
        "L6 a hold that begins closed",
        _hold(0, "false"),
        "begins empty and open",
        trigger("ledger_holds_begin_open", "ledger_holds"),
    ),
    Attack(
        "L6 a second end",
        _sql("INSERT INTO ledger_resolutions (hold_id, outcome, amount, at) VALUES (:posted, 'voided', 0, :now)"),
        "ledger_resolutions_pkey",
        f"{constraint('ledger_resolutions_pkey', 'ledger_resolutions')}; "
        f"{trigger('ledger_resolutions_resolve', 'ledger_resolutions')}",
    ),
    *(
        Attack(
            f"L6 {name}",
            act,
            why,
            # The trigger closes the hold as well: without it that is done by hand.
            f"{trigger('ledger_resolutions_resolve', 'ledger_resolutions')}; "
            f"{trigger('ledger_holds_keep', 'ledger_holds')}; "
            "CREATE FUNCTION close_hold() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN "
            "UPDATE ledger_holds SET open = false WHERE id = NEW.hold_id; RETURN NULL; END $$; "
            "CREATE TRIGGER close_hold AFTER INSERT ON ledger_resolutions FOR EACH ROW EXECUTE FUNCTION close_hold()",
        )
        for name, act, why in (
            ("more posted than promised", _resolve("posted", 301, "enough"), "cannot end as posted of 301"),
            ("posted by a transfer that moved less", _resolve("posted", 200, "paid"), "does not move 200"),
            ("expired without a time", _resolve("expired", 0, "none"), "cannot end as expired"),
        )
    ),
    # L7
    Attack(
        "L7 one key twice",
        _sql(
            "INSERT INTO ledger_keys (key, body_hash, outcome, subject_id, created_at) SELECT key, body_hash, outcome, "
            "subject_id, created_at FROM ledger_keys WHERE subject_id = :paid"
        ),
        "ledger_keys_._pkey",
        constraint("ledger_keys_pkey", "ledger_keys"),
    ),
    Attack(
        "L7 a transfer without a key",
        lambda h: h.entries(h.transfer(keyed=False), [(h.a, -1), (h.b, 1)]),
        "does not stand under its key",
        trigger("ledger_transfers_whole", "ledger_transfers"),
    ),
    # L9
    Attack(
        "L9 a number twice",
        _sequence_twice,
        "ledger_entries_._pkey",
        f"{constraint('ledger_entries_pkey', 'ledger_entries')}; {CHECKED}; "
        f"{trigger('ledger_accounts_balance', 'ledger_accounts')}",
    ),
    Attack("L9 a gap", _gap, "does not follow the one before it", CHECKED),
    Attack(
        "L9 an id out of turn",
        lambda h: h.pay((h.a, -1), (h.b, 1), id=0),
        "does not follow the one before it",
        CHECKED,
    ),
    Attack(
        "L9 recorded before the one before it",
        lambda h: h.pay((h.a, -1), (h.b, 1), recorded_at=NOW),
        "or other times",
        CHECKED + "; " + trigger("ledger_accounts_balance", "ledger_accounts"),
    ),
    # L10
    Attack(
        "L10 a link that names another",
        _sql(_LINK.format(position="position + 1")),
        "does not name the one before it",
        trigger("ledger_chain_links", "ledger_chain"),
    ),
    Attack(
        "L10 a place in the chain twice",
        _sql(_LINK.format(position="position")),
        "ledger_chain_pkey",
        constraint("ledger_chain_pkey", "ledger_chain"),
    ),
    # L11
    Attack(
        "L11 rupees on an account of dollars",
        lambda h: h.pay((h.usd, -1), (h.b, 1), currency="INR"),
        "ledger_entries_currency",
        constraint("ledger_entries_currency", "ledger_entries"),
    ),
    Attack(
        "L11 two currencies in one transfer",
        lambda h: h.pay((h.a, -1), (h.b, 1), (h.usd, -2), (h.usd2, 2)),
        "in 2 currencies",
        CHECKED,
    ),
    Attack(
        "L11 a hold in another currency",
        _hold(40, "true", "USD"),
        "ledger_holds_currency",
        "; ".join(constraint(f"ledger_holds_{name}", "ledger_holds") for name in ("currency", "to_currency")),
    ),
    # L12
    Attack(
        "L12 undone twice",
        _reversal(mirrored=True),
        "ledger_reversals_pkey",
        constraint("ledger_reversals_pkey", "ledger_reversals"),
    ),
    Attack(
        "L12 undone by another amount",
        _reversal(mirrored=False),
        "does not undo",
        trigger("ledger_reversals_mirror", "ledger_reversals"),
    ),
)
