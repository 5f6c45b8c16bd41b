"""`python -m tests.simulation --seed N --steps N`: a world of its own, on a server of its own."""

from __future__ import annotations

import argparse
import logging
import sys

from config import embedded
from core import migrations
from core.database import Database
from tests.scratch import scratch
from tests.simulation.running import simulate
from tests.simulation.world import Violation


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def main() -> int:
    """Run one seed; 1 when something was not as it must be."""
    parser = argparse.ArgumentParser(prog="python -m tests.simulation", description=__doc__)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--steps", type=int, default=1000)
    parser.add_argument("--every", type=int, default=500, help="steps between two looks at everything")
    given = parser.parse_args()
    # It has a word to say of each connection that is killed.
    logging.getLogger("psycopg").setLevel(logging.CRITICAL)
    with scratch("lw-simulation-") as folder:
        server = embedded.start_postgres(folder, "simulation", die_with_parent=True, sync=False)
        database = Database("postgresql+psycopg://" + server.url.split("://", 1)[1], pool_size=4)
        try:
            migrations.upgrade("postgresql+psycopg://" + server.url.split("://", 1)[1])
            _say(str(simulate(database, given.seed, given.steps, folder, every=given.every, progress=_say)))
        except Violation as violation:
            _say(f"{violation}\nviolations 1")
            return 1
        finally:
            database.dispose()
            server.stop(5.0)
    return 0


if __name__ == "__main__":
    sys.exit(main())
