"""What every view may need, in one place: `services()`."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, cast

from flask import current_app

from config.settings import Settings
from core.connections.sealing import KeyRing
from core.database import Database
from core.files import Cabinet
from core.identity.tokens import Signing
from core.marketplace.confirmations import Notary
from core.marketplace.rules import Rules

if TYPE_CHECKING:
    from flask_socketio import SocketIO

    from webapp.presence import Presence

EXTENSION = "ledgerwire"


@dataclass(slots=True, kw_only=True)
class Services:
    """The parts of one web process."""

    settings: Settings
    database: Database
    role: str
    ring: KeyRing = field(repr=False)
    signing: Signing = field(repr=False)
    cabinet: Cabinet
    notary: Notary
    rules: Rules
    socketio: SocketIO | None = None
    presence: Presence | None = None
    # Set by webapp.webhooks, which owns it.
    committer: Any = None
    started: float = field(default_factory=time.monotonic)

    @property
    def secure(self) -> bool:
        """Whether browsers reach us by https, so that cookies may be marked so."""
        return self.settings.base_url.startswith("https://")


def services() -> Services:
    """The parts of the app that serves this request."""
    return cast("Services", current_app.extensions[EXTENSION])
