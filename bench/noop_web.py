"""The web or ingress process with one more route, that does nothing: the floor of S1."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from flask import Flask


def add(app: Flask) -> Flask:
    """Add `GET /noop`."""
    app.add_url_rule("/noop", "noop", lambda: "")
    return app


def web() -> None:
    """Serve like `webapp.serve`."""
    from webapp import serve  # noqa: PLC0415 - it prepares the runtime when it is imported.

    create = serve.create_app
    serve.create_app = lambda settings: add(create(settings))
    serve.main()


def ingress_application() -> Flask:
    """The ingress with the route."""
    from webapp import ingress  # noqa: PLC0415

    return add(ingress.application())


def ingress() -> None:
    """Serve like `webapp.ingress`."""
    from webapp import ingress as original  # noqa: PLC0415

    original.main("bench.noop_web:ingress_application")


if __name__ == "__main__":
    {"web": web, "ingress": ingress}[sys.argv[1]]()
