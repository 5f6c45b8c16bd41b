"""S6: transfers a second by the ledger, spread over accounts and on one hot account, with holds, keys and the chain on.

A round is a transfer, a hold, and the transfer that posts it: two transfers in three transactions. The floor is the
same statements (`core.ledger.store`) in the same order by pgbench, prepared, from as many clients: what PostgreSQL does
on this machine when nobody thinks. The chainer seals beside both. Both wait for the disk.
"""

from __future__ import annotations

import json
import random
import re
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from uuid import UUID

from bench.world import World, world
from config.embedded.postgres import binaries
from core import ledger
from core.database import Database
from core.ids import new_id
from core.ledger import Account, Hold, HoldPart, Leg, Purpose, Transfer, chain, store
from core.ledger.wire import Statement

CLIENTS = 64
PROCESSES = 2
SECONDS = 10.0
ACCOUNTS = 2_000
FUNDS = 10**12
TRANSFERS_A_ROUND = 2
HOT = 1


@dataclass(frozen=True)
class Numbered(Account):
    """An account whose id is its number, so that pgbench can name it without asking."""

    number: int = 0

    @property
    def id(self) -> UUID:
        """The number."""
        return UUID(int=self.number)


def account(number: int) -> Numbered:
    """An account of the benchmark."""
    return Numbered(f"bench:{number}", Purpose.WALLET, "INR", number)


def prepare(database: Database) -> None:
    """Give every account more than it will spend."""
    issuance = ledger.platform(Purpose.ISSUANCE, "INR")
    for start in range(1, ACCOUNTS + 1, 500):
        numbers = range(start, min(start + 500, ACCOUNTS + 1))
        legs = [Leg(issuance, -FUNDS * len(numbers)), *(Leg(account(number), FUNDS) for number in numbers)]
        work = Transfer(kind="bench.issued", key=f"bench:{start}", legs=legs, description="Issued")
        with database.connect() as connection:
            ledger.post(connection, [work], datetime.now(UTC))
    with database.connect() as connection:
        chain.seal_all(connection)
    with database.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.exec_driver_sql("VACUUM ANALYZE")


def one_round(database: Database, source: Numbered, target: Numbered, took: list[float]) -> None:
    """Three postings, each in a transaction of its own; the seconds of each go to `took`."""
    legs = (Leg(source, -100), Leg(target, 100))
    hold = Hold(key=f"hold:{new_id()}", account=source, to=target, amount=100, description="Held")
    plain = Transfer(kind="bench.moved", key=f"move:{new_id()}", legs=legs, description="Moved")
    posts = (HoldPart(hold.id, 100),)
    posted = Transfer(kind="bench.moved", key=f"post:{new_id()}", legs=legs, description="Posted", posts=posts)
    for work in (plain, hold, posted):
        began = time.perf_counter()
        with database.connect() as connection:
            ledger.post(connection, [work], datetime.now(UTC))
        took.append(time.perf_counter() - began)


def client(url: str, clients: int, seconds: float, hot: bool) -> None:  # noqa: FBT001 - read from a command line.
    """Post from threads for a while; print what each posting took, in milliseconds, as JSON."""
    database = Database(url, pool_size=clients, application_name="ledgerwire-s6")
    took: list[list[float]] = [[] for _ in range(clients)]
    gate = threading.Barrier(clients)
    rounds = [0] * clients

    def work(place: int) -> None:
        draw = random.Random(f"{time.time_ns()}{place}")
        with database.connect() as connection:
            connection.exec_driver_sql("SELECT 1")
        gate.wait()
        ends = time.perf_counter() + seconds
        while time.perf_counter() < ends:
            first = HOT if hot else draw.randint(1, ACCOUNTS - 1)
            second = draw.randint(first + 1, ACCOUNTS)
            one_round(database, account(second), account(first), took[place])
            rounds[place] += 1

    threads = [threading.Thread(target=work, args=(place,)) for place in range(clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    json.dump({"rounds": sum(rounds), "ms": [1000 * one for each in took for one in each]}, sys.stdout)


def measure(parts: World, *, hot: bool) -> tuple[float, float, float]:
    """Transfers a second, and p50 and p99 of a posting in milliseconds."""
    arguments = [parts.settings.sqlalchemy_url, str(CLIENTS // PROCESSES), str(SECONDS), str(int(hot))]
    started = [
        subprocess.Popen([sys.executable, "-m", "bench.s6_ledger", "client", *arguments], stdout=subprocess.PIPE)
        for _ in range(PROCESSES)
    ]
    rounds, took = 0, list[float]()
    for process in started:
        said = json.loads(process.communicate()[0])
        rounds += said["rounds"]
        took += said["ms"]
    cuts = statistics.quantiles(took, n=100)
    return TRANSFERS_A_ROUND * rounds / SECONDS, cuts[49], cuts[98]


# pgbench ---------------------------------------------------------------------------------------------------------


def filled(statement: Statement, **values: str) -> str:
    """A statement of the ledger with expressions for its parameters."""
    return re.sub(r"(?<!:):(\w+)", lambda found: values[found[1]], statement.sql) + ";"


def _array(*expressions: str) -> str:
    return f"ARRAY[{', '.join(expressions)}]"


_A, _B = "lpad(to_hex(CAST(:a AS bigint)), 32, '0')", "lpad(to_hex(CAST(:b AS bigint)), 32, '0')"
_NEW = "lpad(to_hex(CAST(:x AS bigint)) || to_hex(CAST(:y AS bigint)), 32, '{kind}')"
_STATES = ("balance", "held", "sequence", "overdraft", "moved_at")


def _claim(key: str, subject: str) -> str:
    return filled(
        store._CLAIM,  # noqa: SLF001 - the very statements are what is measured.
        now="now()",
        key=_array(key),
        body_hash=_array(f"sha256(convert_to({key}, 'UTF8'))"),
        subject_id=_array(subject),
        id=_array(_A, _B),
        owner=_array("'bench:' || CAST(:a AS text)", "'bench:' || CAST(:b AS text)"),
        purpose=_array("'wallet'", "'wallet'"),
        currency=_array("'INR'", "'INR'"),
        overdraft=_array("false", "false"),
    )


def _read(statement: Statement, **values: str) -> str:
    """Lock two accounts and keep what they say, which pgbench takes from one row alone."""
    kept = ", ".join(
        f"(array_agg({name} ORDER BY id))[{place}] AS {name}_{letter}"
        for place, letter in ((1, "a"), (2, "b"))
        for name in _STATES
    )
    return f"SELECT {kept} FROM ({filled(statement, **values)[:-1]}) AS locked \\gset"


def _states(change_a: str, change_b: str, moves: int, held: str) -> dict[str, str]:
    return {
        "id": _array(_A, _B),
        "balance": _array(f"CAST(:balance_a AS bigint){change_a}", f"CAST(:balance_b AS bigint){change_b}"),
        "held": _array("CAST(:held_a AS bigint)", f"CAST(:held_b AS bigint){held}"),
        "sequence": _array(f"CAST(:sequence_a AS bigint) + {moves}", f"CAST(:sequence_b AS bigint) + {moves}"),
        "overdraft": _array("false", "false"),
        "moved_at": _array("CAST(:moved_at_a AS timestamptz)", "CAST(:moved_at_b AS timestamptz)"),
    }


def _post(subject: str, key: str, held: str) -> str:
    # As the ledger does: never before what an account saw last.
    now = "greatest(now(), CAST(:moved_at_a AS timestamptz), CAST(:moved_at_b AS timestamptz))"
    states = _states(" + 100", " - 100", 1, held) | {"moved_at": _array(now, now)}
    before = ("CAST(:balance_b AS bigint)", "CAST(:balance_a AS bigint)")
    transfers = {
        "id": subject,
        "kind": "'bench.moved'",
        "key": key,
        "description": "'Moved'",
        "invoice_id": "NULL",
        "event_id": "NULL",
        "effective_at": now,
        "recorded_at": now,
    }
    entries = {
        "account_id": _array(_B, _A),
        "sequence": _array("CAST(:sequence_b AS bigint) + 1", "CAST(:sequence_a AS bigint) + 1"),
        "transfer_id": _array(subject, subject),
        "currency": _array("'INR'", "'INR'"),
        "amount": _array("-100", "100"),
        "balance_before": _array(*before),
        "balance_after": _array(f"{before[0]} - 100", f"{before[1]} + 100"),
        "effective_at": _array(now, now),
        "recorded_at": _array(now, now),
    }
    values = states | {f"transfer_{name}": _array(value) for name, value in transfers.items()}
    return filled(store._POST, **values, **{f"entry_{name}": value for name, value in entries.items()})  # noqa: SLF001


def script(*, hot: bool) -> str:
    """A round for pgbench."""
    ids = {kind: _NEW.format(kind=kind) for kind in ("1", "2", "3")}
    keys = {kind: f"('k{kind}:' || CAST(:x AS text) || ':' || CAST(:y AS text))" for kind in ids}
    both = _array(_A, _B)
    hold = {
        "id": ids["2"],
        "account_id": _B,
        "to_account_id": _A,
        "currency": "'INR'",
        "amount": "100",
        "key": keys["2"],
        "description": "'Held'",
        "invoice_id": "NULL",
        "expires_at": "NULL",
        "created_at": "now()",
    }
    ended = {"hold_id": ids["2"], "outcome": "'posted'", "amount": "100", "transfer_id": ids["3"], "at": "now()"}
    return "\n".join(
        (
            f"\\set a {HOT if hot else f'random(1, {ACCOUNTS - 1})'}",
            f"\\set b random(:a + 1, {ACCOUNTS})",
            "\\set x random(1, 4000000000000000)",
            "\\set y random(1, 4000000000000000)",
            "BEGIN;",
            _claim(keys["1"], ids["1"]),
            _read(store._LOCK, ids=both),  # noqa: SLF001
            _post(ids["1"], keys["1"], ""),
            "COMMIT;",
            "BEGIN;",
            _claim(keys["2"], ids["2"]),
            _read(store._LOCK, ids=both),  # noqa: SLF001
            filled(store._SET_STATES, **_states("", "", 0, " + 100")),  # noqa: SLF001
            filled(store._INSERT_HOLDS, **{name: _array(value) for name, value in hold.items()}),  # noqa: SLF001
            "COMMIT;",
            "BEGIN;",
            _claim(keys["3"], ids["3"]),
            _read(store._LOCK_WITH_HOLDS, ids=both, holds=_array(ids["2"])),  # noqa: SLF001
            filled(store._READ_HOLDS, holds=_array(ids["2"])),  # noqa: SLF001
            _post(ids["3"], keys["3"], " - 100"),
            filled(store._INSERT_RESOLUTIONS, **{name: _array(value) for name, value in ended.items()}),  # noqa: SLF001
            "COMMIT;",
            "",
        )
    )


def floor(parts: World, *, hot: bool) -> float:
    """Transfers a second of the same statements by pgbench. Raises RuntimeError when one of them fails."""
    with tempfile.NamedTemporaryFile("w", suffix=".sql") as file:
        file.write(script(hot=hot))
        file.flush()
        command = [str(binaries() / "pgbench"), "-n", "-M", "prepared", "-c", str(CLIENTS), "-j", str(PROCESSES)]
        command += ["-T", str(int(SECONDS)), "-f", file.name, parts.settings.libpq_url]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    found = re.search(r"tps = ([0-9.]+)", done.stdout)
    if found is None or "aborted" in done.stderr:
        raise RuntimeError(f"pgbench failed: {done.stderr[-2000:]}")
    return TRANSFERS_A_ROUND * float(found[1])


@contextmanager
def chainer(url: str) -> Iterator[None]:
    """Seal in a process of its own while the block lasts."""
    process = subprocess.Popen([sys.executable, "-m", "bench.s6_ledger", "seal", url])
    try:
        yield
    finally:
        process.terminate()
        process.wait()


def seal(url: str) -> None:
    """Seal for ever, as a worker does."""
    database = Database(url, pool_size=1, application_name="ledgerwire-seal")
    while True:
        with database.connect() as connection:
            done = chain.seal(connection)
        if done < 100:
            time.sleep(0.1)


def run() -> dict[str, float]:
    """Print and return the figures."""
    figures: dict[str, float] = {}
    with world() as parts:
        prepare(parts.database)
        with chainer(parts.settings.sqlalchemy_url):
            for name, hot in (("spread", False), ("hot", True)):
                base = floor(parts, hot=hot)
                rate, p50, p99 = measure(parts, hot=hot)
                least = 300 if hot else 1000
                print(
                    f"S6  {name:6} transfers/s {rate:8.0f}  (at least {least})   p50 {p50:6.1f} ms   p99 {p99:6.1f} ms"
                )
                print(f"    pgbench, the same SQL {base:8.0f}   ratio {rate / base:5.2f}  (target at least 0.5)")
                figures |= {f"{name}_per_second": rate, f"{name}_ratio": rate / base, f"{name}_p99_ms": p99}
        with parts.database.connect() as connection:
            print(f"    entries not sealed at the end: {chain.waiting(connection)}")
    return figures


def main(arguments: Sequence[str]) -> None:
    """Run, or be one of the processes of a run."""
    if arguments[:1] == ["client"]:
        url, clients, seconds, hot = arguments[1:]
        client(url, int(clients), float(seconds), hot == "1")
    elif arguments[:1] == ["seal"]:
        seal(arguments[1])
    else:
        run()


if __name__ == "__main__":
    main(sys.argv[1:])
