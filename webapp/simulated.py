"""Simulated gateways of a demo installation: their API, for the worker, and their payment pages, for customers.

They are here only in a demo, below /simulated, so that an invoice can be paid by clicks on a machine without a
network: the page's button has the gateway's own webhook sent, really signed, to the address it is sent to in earnest.
"""

from __future__ import annotations

import http.client
from typing import TYPE_CHECKING
from urllib.parse import urlsplit
from uuid import UUID

import structlog
from flask import Blueprint, Response, make_response, redirect, render_template, request
from sqlalchemy import text

from core.connections.address import webhook_url
from core.errors import NotFound, Transient
from webapp.services import services

if TYPE_CHECKING:
    from workers.simulators.till import Till

log = structlog.get_logger(__name__)

blueprint = Blueprint("simulated", __name__, url_prefix="/simulated")
_TIMEOUT_SECONDS = 10


def _till(slug: str, connection_id: UUID) -> Till:
    """The till of a connection that was set up as simulated. Raises NotFound for any other."""
    # What simulates is loaded when somebody plays, and takes no memory before.
    from connectors import registry  # noqa: PLC0415
    from workers.simulators.till import SLUGS, Till, folder_of  # noqa: PLC0415

    settings = services().settings
    with services().database.session() as session:
        hook_id = session.scalar(
            text(
                "SELECT hook_id FROM connections WHERE id = :id AND connector = :slug AND deleted_at IS NULL "
                "AND settings ->> 'simulated' = 'yes'"
            ),
            {"id": connection_id, "slug": slug},
        )
    if hook_id is None or slug not in SLUGS:
        raise NotFound("simulated account", connection_id)
    return Till(
        slug=slug,
        folder=folder_of(settings.data_dir, slug, connection_id),
        page_url=f"{settings.base_url}/simulated/{slug}/{connection_id}/pay",
        webhook_url=webhook_url(
            settings.base_url, slug, connection_id, hook_id, opaque=registry.get(slug).opaque_address
        ),
    )


@blueprint.route("/<slug>/<uuid:connection_id>/v1/<path:rest>", methods=["GET", "POST"])
def api(slug: str, connection_id: UUID, rest: str) -> Response:
    """The gateway's API."""
    target = f"/v1/{rest}" + (f"?{request.query_string.decode('latin-1')}" if request.query_string else "")
    headers = {name.lower(): value for name, value in request.headers.items()}
    said = _till(slug, connection_id).answer(request.method, target, headers, request.get_data())
    return Response(said.content, said.status, content_type=said.content_type)


@blueprint.get("/ecb/<name>")
def reference_rates(name: str) -> Response:
    """Made-up exchange rates, where the European Central Bank's are in earnest."""
    from workers.simulators.ecb import Bank  # noqa: PLC0415

    said = Bank().answer(request.method, f"/{name}", {}, b"")
    return Response(said.content, said.status, content_type=said.content_type)


@blueprint.get("/<slug>/<uuid:connection_id>/pay/<link_id>")
def page(slug: str, connection_id: UUID, link_id: str) -> Response:
    """The page on which a customer pays."""
    return _shown(_till(slug, connection_id), link_id)


def _shown(till: Till, link_id: str, status: int = 200, trouble: str = "") -> Response:
    from connectors import registry  # noqa: PLC0415
    from workers.simulators.till import NoSuchPage  # noqa: PLC0415

    try:
        link = till.read(link_id)
    except NoSuchPage:
        raise NotFound("payment page", link_id) from None
    title = registry.get(till.slug).title
    shown = render_template("pages/simulated_pay.html", link=link, gateway=title, back=till.back(link), trouble=trouble)
    answer = make_response(shown, status)
    answer.headers["X-Robots-Tag"] = "noindex, nofollow"
    return answer


@blueprint.post("/<slug>/<uuid:connection_id>/pay/<link_id>")
def pay(slug: str, connection_id: UUID, link_id: str) -> Response:
    """Pay: the webhook is sent, and the customer goes back to where they came from."""
    from connectors import registry  # noqa: PLC0415
    from workers.simulators import playing  # noqa: PLC0415
    from workers.simulators.till import NoSuchPage  # noqa: PLC0415

    parts, till = services(), _till(slug, connection_id)
    with parts.database.session() as session:
        player = playing.known(session, parts.ring, registry.get(slug), connection_id, data_dir=parts.settings.data_dir)
    if player is None:
        raise NotFound("simulated account", connection_id)
    try:
        built = till.paid(link_id, secret=player.secret, external_id=player.external_id)
    except NoSuchPage:
        return _shown(till, link_id, 409, "This page cannot be paid any more.")
    try:
        status = _post(urlsplit(till.webhook_url).path, dict(built.headers), built.body)
    except (OSError, http.client.HTTPException) as error:
        log.warning("the simulated webhook was not sent", error=type(error).__name__)
        raise Transient("the webhook of the simulated gateway could not be sent") from error
    if status >= 300:
        return _shown(till, link_id, 502, f"The webhook was answered {status}. Press the button to send it again.")
    return make_response(redirect(till.back(till.read(link_id)), 303))


def _post(path: str, headers: dict[str, str], body: bytes) -> int:
    """Post to this installation by HTTP, as anybody outside would; the status of the answer."""
    settings = services().settings
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(settings.host, settings.host)  # noqa: S104 - compared, not bound.
    line = http.client.HTTPConnection(host, settings.port, timeout=_TIMEOUT_SECONDS)
    try:
        line.request("POST", path, body, headers)
        return line.getresponse().status
    finally:
        line.close()
