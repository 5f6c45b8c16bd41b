"""Every connector this installation has: those of the house and those of installed plugins.

A plugin is a package with an entry point in the group `ledgerwire.connectors` whose value is a Connector.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from functools import lru_cache
from importlib import import_module
from importlib.metadata import EntryPoint, entry_points
from types import MappingProxyType

from connectors.base import Connector
from core.errors import NotFound

GROUP = "ledgerwire.connectors"
BUILT_IN = (
    "adyen",
    "apideck",
    "basiq",
    "braintree",
    "cashfree",
    "custom",
    "flutterwave",
    "gocardless",
    "mollie",
    "mpesa",
    "paypal",
    "paystack",
    "plaid",
    "quickbooks",
    "razorpay",
    "square",
    "standard_webhooks",
    "stripe",
    "truelayer",
    "wise",
    "xero",
)

log = logging.getLogger(__name__)


def load(plugins: Iterable[EntryPoint]) -> tuple[dict[str, Connector], dict[str, str]]:
    """The built-in connectors and these plugins, and why each plugin that is not there is not.

    A broken plugin, and one whose slug is taken, is left out; the rest are unaffected.
    """
    found: dict[str, Connector] = {}
    for slug in BUILT_IN:
        found[slug] = import_module(f"connectors.{slug}").connector
    refused: dict[str, str] = {}
    for plugin in sorted(plugins, key=lambda plugin: (plugin.name, plugin.value)):
        label = f"{plugin.name} ({plugin.value})"
        try:
            connector = plugin.load()
        except Exception as error:  # noqa: BLE001  # An outsider's module may raise anything on import.
            refused[label] = f"cannot be imported: {type(error).__name__}: {error}"
            continue
        if not isinstance(connector, Connector):
            refused[label] = f"is a {type(connector).__name__}, not a Connector"
        elif connector.slug in found:
            refused[label] = f"the slug {connector.slug} is taken"
        else:
            found[connector.slug] = connector
    return found, refused


@lru_cache(maxsize=1)
def _installed() -> tuple[Mapping[str, Connector], Mapping[str, str]]:
    found, refused = load(entry_points(group=GROUP))
    for label, reason in refused.items():
        log.error("connector plugin %s left out: %s", label, reason)
    return MappingProxyType(dict(sorted(found.items()))), MappingProxyType(refused)


def all() -> Mapping[str, Connector]:  # noqa: A001  # Read as registry.all().
    """Every connector by slug. Found once a process."""
    return _installed()[0]


def refused() -> Mapping[str, str]:
    """The plugins that were left out, and why: for `ledgerwire doctor`."""
    return _installed()[1]


def get(slug: str) -> Connector:
    """The connector of a slug. Raises NotFound."""
    try:
        return all()[slug]
    except KeyError:
        raise NotFound("connector", slug[:40]) from None
