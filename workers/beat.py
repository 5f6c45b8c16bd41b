"""Entry point of beat: rings "look what is due". It keeps no state; every job claims what is due."""

from __future__ import annotations

from celery.beat import Scheduler

from config import log
from config.settings import load
from workers.app import make_celery


def main() -> None:
    """Run until SIGTERM."""
    settings = load()
    log.configure(settings, "beat")
    # The plain scheduler keeps its times in memory: a file of last runs could only disagree with the rows.
    make_celery(settings).Beat(scheduler=Scheduler, loglevel="WARNING", max_interval=3, quiet=True).run()


if __name__ == "__main__":
    main()
