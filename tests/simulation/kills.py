"""Workers that die: at any statement, at the commit, or just after it, when nobody hears the answer any more."""

from __future__ import annotations

import random
from typing import Any

import psycopg
from sqlalchemy import Engine, event


class Killed(BaseException):
    """The process ends here. Nothing that handles errors may handle this."""


class Reaper:
    """Counts statements of an engine and kills whoever runs the one it waits for."""

    def __init__(self, engine: Engine, chance: random.Random) -> None:
        self._chance = chance
        self._left: int | None = None
        self._at_commit = False
        self._hard = False
        self.struck = False
        self.count = 0
        self.statements = 0
        self._listening = ((engine, "before_cursor_execute", self._statement), (engine, "commit", self._commit))
        for one in self._listening:
            event.listen(*one)
        address = engine.url.set(drivername="postgresql").render_as_string(hide_password=False)
        self._beside = psycopg.connect(address, autocommit=True)

    def retire(self) -> None:
        """Listen no more."""
        for one in self._listening:
            event.remove(*one)
        self._beside.close()

    def arm(self) -> None:
        """Kill the next command at some statement of it, or at its first commit."""
        self.struck, self._hard = False, self._chance.random() < 0.2
        self._at_commit = self._chance.random() < 0.25
        self._left = None if self._at_commit else self._chance.randint(1, 35)

    def disarm(self) -> None:
        self._left, self._at_commit = None, False

    def _statement(self, connection: Any, *_: Any) -> None:
        self.statements += 1
        if self._left is not None:
            self._left -= 1
            if self._left == 0:
                self._strike(connection)

    def _commit(self, connection: Any) -> None:
        if self._at_commit:
            self._strike(connection)

    def _strike(self, connection: Any) -> None:
        self.disarm()
        self.struck = True
        self.count += 1
        if self._hard:
            # The machine is gone. The server notices a little later, and until then the dead one's locks stand.
            pid = connection.connection.dbapi_connection.info.backend_pid
            connection.invalidate()
            self._beside.execute("SELECT pg_terminate_backend(%s, 5000)", [pid])
        raise Killed
