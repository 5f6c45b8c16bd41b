"""The way to PostgreSQL: one pool a process, and transactions that commit on success alone."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from sqlalchemy import Connection, create_engine, event, pool
from sqlalchemy.orm import Session, sessionmaker

_IDLE_IN_TRANSACTION_SECONDS = 60
_LAST = "ledgerwire.before_commit"


def before_commit(connection: Connection, name: str, act: Callable[[Connection], object]) -> None:
    """Have something done as the last of this transaction, once for each `name`, whoever asks for it how often.

    What it raises is raised by the commit, and nothing is committed. A rollback forgets it. It is for what takes
    locks that come after all others, and so must wait until everybody else in the transaction has theirs.
    """
    connection.info.setdefault(_LAST, {})[name] = act


def _act(connection: Connection) -> None:
    acts: dict[str, Callable[[Connection], object]] = connection.info.pop(_LAST, {})
    for act in acts.values():
        act(connection)


def _forget(connection: Connection) -> None:
    # One that was lost has forgotten by itself, and cannot be asked.
    if not connection.invalidated:
        connection.info.pop(_LAST, None)


class Database:
    """A pool of connections and the two ways to open a transaction on it."""

    def __init__(
        self,
        url: str,
        *,
        pool_size: int = 10,
        overflow: int | None = None,
        application_name: str = "ledgerwire",
        wait_for_disk: bool = True,
    ) -> None:
        """`url` is a `postgresql+psycopg://` address. Connects on first use.

        Without `wait_for_disk` a commit returns before it is on disk: right only for what can be done again from
        something that is (ADR 0004). `overflow` is how many connections more than the pool keeps may be open for a
        while; as many again, unless it is given.
        """
        # A process that is stopped in the middle of a transaction would keep its locks for as long as it sleeps.
        options = f"-c idle_in_transaction_session_timeout={_IDLE_IN_TRANSACTION_SECONDS}s"
        if not wait_for_disk:
            options += " -c synchronous_commit=off"
        arguments = {"application_name": application_name, "connect_timeout": 5, "options": options}
        unpooled = create_engine(url, poolclass=pool.NullPool, connect_args=arguments)
        self._unpooled = sessionmaker(unpooled, expire_on_commit=False)
        self.engine = create_engine(
            url,
            pool_size=pool_size,
            max_overflow=pool_size if overflow is None else overflow,
            pool_timeout=10,
            # A connection that died with its server is noticed at check-out, not in the middle of work.
            pool_pre_ping=True,
            connect_args=arguments,
        )
        for engine in (self.engine, unpooled):
            event.listen(engine, "commit", _act)
            event.listen(engine, "rollback", _forget)
        self._single = self.engine.execution_options(isolation_level="AUTOCOMMIT")
        self._sessions = sessionmaker(self.engine, expire_on_commit=False)

    @contextmanager
    def session(self) -> Iterator[Session]:
        """A session whose transaction commits when the block ends well, and is rolled back otherwise."""
        with self._sessions.begin() as session:
            yield session

    @contextmanager
    def alone(self) -> Iterator[Session]:
        """Like `session`, on a connection made for it: for a transaction that waits for somebody outside."""
        with self._unpooled.begin() as session:
            yield session

    @contextmanager
    def connect(self) -> Iterator[Connection]:
        """A connection whose transaction commits when the block ends well, and is rolled back otherwise."""
        with self.engine.begin() as connection:
            yield connection

    @contextmanager
    def statements(self) -> Iterator[Connection]:
        """A connection on which every statement is a transaction of its own: no trips for BEGIN and COMMIT."""
        with self._single.connect() as connection:
            yield connection

    def dispose(self) -> None:
        """Close every connection of the pool."""
        self.engine.dispose()
