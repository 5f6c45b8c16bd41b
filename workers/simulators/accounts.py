"""What a simulated provider's customer has: an account, credentials, and the key that the provider signs with."""

from __future__ import annotations

import json
import os
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

from connectors import samples
from connectors.base import Connector
from workers.simulators.places import folder_of
from workers.simulators.sending import account_in_sample

# How a connector may call the field that holds the provider's name of the account.
ACCOUNT_FIELDS = ("external_id", "account_id", "user_id")


@dataclass(frozen=True, slots=True, kw_only=True)
class DemoAccount:
    """Values for the fields that a connection needs or may ask with. The webhook secret is not among them."""

    external_id: str | None
    secrets: dict[str, str] = field(repr=False)
    settings: dict[str, str]


def demo_account(connector: Connector) -> DemoAccount:
    """An account at a simulated provider. `demo` in simulate.json names what a provider wants in its own form."""
    path = folder_of(connector.slug) / connector.slug / samples.SCRIPT
    said: dict[str, str] = json.loads(path.read_bytes()).get("demo", {}) if path.is_file() else {}
    known = dict(said)
    external_id = known.pop("external_id", None) or _account(connector)
    secrets: dict[str, str] = {}
    settings: dict[str, str] = {}
    for each in connector.fields:
        # Secrets that may be left out are what lets a connector ask, so that a demonstration has them.
        given = f"demo-{each.name.replace('_', '-')}" if each.required or each.secret else None
        value = said.get(each.name) or given
        if each.name == "webhook_secret" or value is None:
            continue
        if each.name in ACCOUNT_FIELDS:
            external_id = external_id or value
        else:
            (secrets if each.secret else settings)[each.name] = value
    return DemoAccount(external_id=external_id, secrets=secrets, settings=settings)


def _account(connector: Connector) -> str | None:
    for event, variant in samples.names(connector.slug, folder=folder_of(connector.slug)):
        if variant is None and (found := account_in_sample(connector, event)):
            return found
    return None


def is_asymmetric(connector: Connector) -> bool:
    """Whether the provider signs with a key that no connection has."""
    secret = connector.signature.new_secret()
    return connector.signature.receiving(secret) != secret


def adopted(connector: Connector, key: str, receiving: str) -> str:
    """The signing key, with the name by which a connection knows it where the key holds such a name."""
    try:
        held = json.loads(key)
    except ValueError:
        return key
    own = connector.signature.receiving(key)
    if not isinstance(held, dict) or not receiving or own not in held.values():
        return key
    return json.dumps({name: receiving if value == own else value for name, value in held.items()})


def signing_key(connector: Connector, data_dir: Path) -> str:
    """The key that the simulated provider signs with, made once and kept under DATA_DIR/simulator.

    Only an installation that allows local providers believes it: there the key is asked of the simulator, or is the
    receiving secret of a demo connection.
    """
    path = data_dir / "simulator" / connector.slug
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    if not path.exists():
        handle, name = tempfile.mkstemp(dir=path.parent)
        with os.fdopen(handle, "w", encoding="ascii") as made:
            made.write(connector.signature.new_secret())
        try:
            # Of two that start at once the first one's key holds.
            os.link(name, path)
        except FileExistsError:
            pass
        finally:
            os.unlink(name)  # noqa: PTH108 - beside os.link, which Path has no better word for
    return path.read_text(encoding="ascii")
