"""Entry point of the worker process: Celery's prefork worker, quiet and quick to stop."""

from __future__ import annotations

import gc
import os
import warnings

from celery.platforms import SecurityWarning

from config import log
from config.settings import load
from workers.app import make_celery


def main() -> None:
    """Run until SIGTERM."""
    settings = load()
    log.configure(settings, "worker")
    # Root is what a container has; what Celery warns of (unpickling strangers' messages) we do not do.
    warnings.simplefilter("ignore", SecurityWarning)
    # A batch makes tens of thousands of objects and frees nearly all of them at its end: looking for cycles
    # every few hundred objects costs a sixth of the time (bench/s3_backlog.py) and finds nothing.
    gc.collect()
    gc.freeze()
    gc.set_threshold(100_000, 20, 20)
    # A second worker of the same host must not look like the same one.
    name = f"worker-{os.getpid()}@%h"
    make_celery(settings).worker_main(
        ["--quiet", "worker", "--loglevel=WARNING", "--without-gossip", "--without-mingle", f"--hostname={name}"]
    )


if __name__ == "__main__":
    main()
