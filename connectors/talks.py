"""What can be said of a talk without carrying it: whether it can begin, and what recorded answers make of it."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any, TypeVar
from urllib.parse import urlsplit

from connectors.base import Connector, Credentials, Page, Pull, Request, Response
from core.errors import CredentialsRefused, MalformedPayload, PlatformError
from core.events import Record

T = TypeVar("T")

# More than this is not kept with a page: it would weigh on every copy of the database.
MAX_KEPT_BYTES = 4_000_000
# Shorter secrets are parts of ordinary words.
_MIN_SECRET = 8
_LEFT_OUT = frozenset({"set-cookie", "authorization", "www-authenticate"})
_HIDDEN = "[secret]"


def obstacle(
    connector: Connector, credentials: Credentials, talk: Callable[[Credentials], Generator[Request, Response, T]]
) -> str | None:
    """Why a talk cannot even begin (a secret or setting is missing), in words; None when it can. Asks nobody."""
    if connector.api is None:
        return f"{connector.title} has no API here"
    credentials = replace(credentials, asked_at=credentials.asked_at or datetime(2026, 1, 1, tzinfo=UTC))
    for begin in (connector.api.authorize, talk):
        started = begin(credentials)
        try:
            next(started)
        except StopIteration:
            continue
        except (CredentialsRefused, PlatformError) as error:
            return str(error)
        finally:
            started.close()
    return None


def pull_obstacle(connector: Connector, credentials: Credentials) -> str | None:
    """Why a connection cannot be pulled, in words; None when it can."""
    if connector.pull is None:
        return f"{connector.title} has no list to pull from"
    pull = connector.pull
    return obstacle(connector, credentials, lambda known: pull.talk(known, None, known.moment()))


@dataclass(slots=True, kw_only=True)
class Recorder:
    """Keeps the exchanges of one page. Secrets of the connection are taken out of what is kept."""

    credentials: Credentials
    cursor: str | None
    since: datetime
    exchanges: list[dict[str, object]] = field(default_factory=list)
    size: int = 0
    whole: bool = True

    def __call__(self, request: Request, response: Response) -> None:
        """Hear an exchange."""
        self.size += len(response.body)
        if self.size > MAX_KEPT_BYTES:
            self.whole = False
            return
        said: dict[str, object] = {
            "request": f"{request.method} {request.url}",
            "params": dict(request.params),
            "status": response.status,
            "headers": {name: value for name, value in response.headers.items() if name not in _LEFT_OUT},
        }
        try:
            said["body"] = response.body.decode()
        except UnicodeDecodeError:
            said["body_base64"] = base64.b64encode(response.body).decode("ascii")
        self.exchanges.append(said)

    def body(self, asked_at: datetime) -> bytes:
        """The page as it is stored."""
        told = {
            "cursor": self.cursor,
            "since": self.since.isoformat(),
            "asked_at": asked_at.isoformat(),
            "external_id": self.credentials.external_id,
            "settings": dict(self.credentials.settings),
            "whole": self.whole,
            "exchanges": self.exchanges,
        }
        return json.dumps(self._clean(told), ensure_ascii=False).encode("utf-8", "replace")

    def _clean(self, value: Any) -> Any:
        if isinstance(value, str):
            for secret in self.credentials.secrets.values():
                if len(secret) >= _MIN_SECRET:
                    value = value.replace(secret, _HIDDEN)
            return value
        if isinstance(value, dict):
            return {name: self._clean(inner) for name, inner in value.items()}
        return [self._clean(inner) for inner in value] if isinstance(value, list) else value


class _Placeholders(Mapping[str, str]):
    """Stands for secrets where nothing is sent: a talk may ask for any."""

    def __getitem__(self, name: str) -> str:
        return _HIDDEN

    def __iter__(self) -> Iterator[str]:
        return iter(())

    def __len__(self) -> int:
        return 0


def transcript(body: bytes) -> list[dict[str, Any]]:
    """The exchanges of a stored page, for people: request, status and text of the answer. Empty for other bodies."""
    with suppress(ValueError, KeyError, TypeError, AttributeError):
        found = json.loads(body)["exchanges"]
        return [
            {"request": each["request"], "params": each["params"], "status": each["status"], "body": each.get("body")}
            for each in found
        ]
    return []


def reread(connector: Connector, body: bytes) -> Sequence[Record]:
    """The records of a stored page as the present connector reads it, without asking anybody.

    Raises MalformedPayload when the answers were not kept whole, or do not fit what the connector asks today.
    """
    if connector.pull is None:
        raise MalformedPayload("", f"{connector.title} does not pull any more")
    try:
        told = json.loads(body)
        credentials = Credentials(
            secrets=_Placeholders(),
            settings=told["settings"],
            external_id=told["external_id"],
            asked_at=datetime.fromisoformat(told["asked_at"]),
        )
        since, cursor, exchanges = datetime.fromisoformat(told["since"]), told["cursor"], told["exchanges"]
        whole = told["whole"]
    except (ValueError, KeyError, TypeError) as error:
        raise MalformedPayload("", "is no page that was pulled") from error
    if not whole:
        raise MalformedPayload("exchanges", "were too long to be kept")
    return _feed(connector.pull, credentials, cursor, since, exchanges).records


def _feed(pull: Pull, credentials: Credentials, cursor: str | None, since: datetime, exchanges: list[Any]) -> Page:
    talk = pull.talk(credentials, cursor, since)
    waiting = iter(exchanges)
    try:
        request = next(talk)
        while True:
            told = next(waiting, None)
            if told is None or _path(told["request"]) != _path(f"{request.method} {request.url}"):
                raise MalformedPayload("exchanges", "this version asks the provider something else")
            encoded = told.get("body_base64")
            content = base64.b64decode(encoded) if encoded else str(told.get("body", "")).encode()
            request = talk.send(Response(status=told["status"], headers=told["headers"], body=content))
    except StopIteration as end:
        page: Page = end.value
        return page
    finally:
        talk.close()


def _path(request: str) -> str:
    method, _, url = request.partition(" ")
    return f"{method} {urlsplit(url).path}"
