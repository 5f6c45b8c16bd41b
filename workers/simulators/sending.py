"""Really signed deliveries made from the samples: what `ledgerwire simulate` posts.

The body is a sample with fresh ids and times, and with what the caller wants changed, as the provider's
`simulate.json` says. Ids are derived from the message id, so that the same message id gives the same delivery
again: a duplicate, as a provider sends it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from urllib.parse import urlsplit

from connectors import samples
from connectors.base import Connector, Delivery, Signed
from connectors.signatures import TRUST_ROOTS, TRUST_ROOTS_PATH
from core.errors import MalformedPayload, SignatureRejected
from workers.simulators import script
from workers.simulators.places import folder_of
from workers.simulators.script import Changes, Story

__all__ = ["Built", "Changes", "NotSigned", "account_in_sample", "build", "build_delivery", "convinces"]

# A byte that is proven is found among the last ones, or nothing proves the body.
_MAX_TRIES = 4000


class NotSigned(Exception):
    """Nothing in a delivery of this provider proves its body, so that an altered one is as good as any."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Built:
    """A delivery that can be posted. `documents` are the keys a receiver asks for, by the path they are asked at."""

    event: str
    headers: Mapping[str, str] = field(repr=False)
    body: bytes = field(repr=False)
    documents: Mapping[str, bytes] = field(repr=False)
    story: Story = field(repr=False)
    message_id: str
    signed: Signed = field(repr=False)


def build(
    connector: Connector,
    event: str,
    *,
    secret: str,
    at: datetime,
    message_id: str,
    changes: Changes | None = None,
    variant: str | None = None,
    tamper: bool = False,
    url: str = "",
) -> Built:
    """One delivery to `url`, signed with the provider's own secret. Raises FileNotFoundError without a sample.

    With `tamper` it is altered after signing, where that matters; raises NotSigned where nothing does.
    """
    sample = samples.load(connector.slug, event, variant, folder=folder_of(connector.slug))
    story = Story(
        script=script.load(connector.slug),
        message_id=message_id,
        at=at,
        changes=changes or Changes(),
        accounts=_accounts(connector, sample),
    )
    body = story.told(sample, event)
    content = body.to_bytes()
    signed = connector.signature.sign(content, secret, at=at, message_id=message_id, url=url)
    if tamper:
        signed = _tampered(connector, signed, connector.signature.receiving(secret), at, url)
    kind = body.content_type if signed.body[:1] == content[:1] else "application/x-www-form-urlencoded"
    headers = {"Content-Type": kind, **signed.headers}
    return Built(
        event=event,
        headers=headers,
        body=signed.body,
        documents=_asked_at(connector, signed, connector.signature.receiving(secret), at, url),
        story=story,
        message_id=message_id,
        signed=signed,
    )


def build_delivery(
    connector: Connector,
    event: str,
    *,
    secret: str,
    at: datetime,
    message_id: str,
    changes: Changes | None = None,
    variant: str | None = None,
    tamper: bool = False,
    url: str = "",
) -> tuple[dict[str, str], bytes]:
    """The headers and the body of `build`."""
    built = build(
        connector,
        event,
        secret=secret,
        at=at,
        message_id=message_id,
        changes=changes,
        variant=variant,
        tamper=tamper,
        url=url,
    )
    return dict(built.headers), built.body


def convinces(connector: Connector, built: Built, receiving: str, at: datetime, url: str) -> bool:
    """Whether a connection that keeps this secret believes a delivery."""
    try:
        connector.verify(_received(built.signed, at, url), [receiving])
    except SignatureRejected:
        return False
    return True


def account_in_sample(connector: Connector, event: str) -> str | None:
    """The account that a sample is about."""
    sample = samples.load(connector.slug, event, folder=folder_of(connector.slug))
    return next(iter(sorted(_accounts(connector, sample))), None)


def _accounts(connector: Connector, sample: bytes) -> frozenset[str]:
    try:
        found = {connector.external_id(item) for item in connector.items(sample)}
    except MalformedPayload:
        # A body that has to be signed before it can be read; its paths say where the account stands.
        found = set()
    return frozenset(account for account in found if account)


def _tampered(connector: Connector, signed: Signed, receiving: str, at: datetime, url: str) -> Signed:
    """The same with one character exchanged for another of its kind, from the end on, until it is refused."""
    for altered in _alterations(signed):
        try:
            connector.verify(_received(altered, at, url), [receiving])
        except SignatureRejected:
            return altered
    raise NotSigned(f"deliveries of {connector.title} are not signed: each is confirmed by a fetch")


def _received(signed: Signed, at: datetime, url: str) -> Delivery:
    headers = {name.lower(): (value,) for name, value in signed.headers.items()}
    return Delivery(body=signed.body, headers=headers, received_at=at, url=url, documents=signed.documents)


def _asked_at(connector: Connector, signed: Signed, receiving: str, at: datetime, url: str) -> dict[str, bytes]:
    """The keys of a delivery by the path, below the API base, at which a receiver asks for them."""
    if not signed.documents:
        return {}
    wanted = connector.signature.wants(_received(signed, at, url), [receiving])
    paths = {wanted.name: urlsplit(wanted.request.url).path} if wanted else {}
    paths[TRUST_ROOTS] = TRUST_ROOTS_PATH
    return {paths[name]: document for name, document in signed.documents.items() if name in paths}


def _alterations(signed: Signed) -> Iterator[Signed]:
    for place in range(len(signed.body) - 1, max(-1, len(signed.body) - 1 - _MAX_TRIES), -1):
        if (other := _other(signed.body[place])) is not None:
            body = signed.body[:place] + bytes([other]) + signed.body[place + 1 :]
            yield Signed(headers=signed.headers, body=body, documents=signed.documents)
    # A secret that stands in a header proves the sender and nothing else.
    for name, value in signed.headers.items():
        if value and (other := _other(ord(value[-1]))) is not None:
            headers = {**signed.headers, name: value[:-1] + chr(other)}
            yield Signed(headers=headers, body=signed.body, documents=signed.documents)


def _other(sign: int) -> int | None:
    """Another digit for a digit, another letter for a letter."""
    if chr(sign).isdigit() and sign < 128:
        return ord("0") + (sign - ord("0") + 1) % 10
    return sign ^ 1 if chr(sign).isalpha() and chr(sign ^ 1).isalpha() and sign < 128 else None
