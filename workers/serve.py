"""Entry point of the worker process: Celery's prefork worker, quiet and quick to stop."""

from __future__ import annotations

import os
import warnings

from celery.platforms import SecurityWarning

from config import log
from config.settings import load
from workers.app import make_celery
from workers.context import calm_collector


def main() -> None:
    """Run until SIGTERM."""
    settings = load()
    log.configure(settings, "worker")
    # Root is what a container has; what Celery warns of (unpickling strangers' messages) we do not do.
    warnings.simplefilter("ignore", SecurityWarning)
    calm_collector()
    # A second worker of the same host must not look like the same one.
    name = f"worker-{os.getpid()}@%h"
    make_celery(settings).worker_main(
        ["--quiet", "worker", "--loglevel=WARNING", "--without-gossip", "--without-mingle", f"--hostname={name}"]
    )


if __name__ == "__main__":
    main()
