"""The one HTTP transport: it carries the requests that connectors describe, and nothing else reaches providers.

Every request is bounded in time and size, never follows a redirect, ignores proxy and netrc settings of the
environment, and goes only to the connector's API base, at an address that was checked and is then connected to.
What fails becomes Transient (try again later) or Permanent. No secret and no query string is in a message.
"""

from __future__ import annotations

import hashlib
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from http.cookiejar import DefaultCookiePolicy
from pathlib import Path
from typing import TypeVar
from urllib.parse import urlsplit

import requests
import tenacity
from requests.utils import DEFAULT_CA_BUNDLE_PATH
from urllib3.exceptions import HTTPError

from connectors.base import Api, Authorization, AuthorizationTalk, Connector, Credentials, Request, Response
from core.errors import CredentialsRefused, Permanent, Transient
from workers.addresses import address_of
from workers.pinning import PinnedAdapter, Refused

T = TypeVar("T")
# What trades secrets for an authorisation: it is given the secrets to trade.
Trade = Callable[[Mapping[str, str]], Authorization]
# Lets a trade happen while nobody else trades the same connection's secrets, and keeps what it renewed.
Custody = Callable[[Trade], Authorization]
# Is told each authorised exchange of a talk, in order.
Listener = Callable[[Request, Response], None]
_RETRIED = frozenset({408, 425, 429, 500, 502, 503, 504})
_ABSENT = frozenset({404, 410})
_MAX_REMEMBERED = 10_000
# Of what a provider says of a refusal, for people to read.
_MOST_WORDS = 300


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Bounds of one talk. `total_seconds` must stay below the lease of the event that is being worked on."""

    connect_seconds: float = 5
    read_seconds: float = 20
    total_seconds: float = 45
    response_bytes: int = 10_000_000
    attempts: int = 4
    # A longer Retry-After is not waited for: the event goes back to the queue.
    wait_seconds: float = 8
    # The circuit of a provider opens after so many failures in a row, for so long.
    failures: int = 5
    open_seconds: float = 30


# A key is small, and whoever sent the webhook waits for our answer.
_DOCUMENT_LIMITS = Limits(connect_seconds=2, read_seconds=4, total_seconds=5, response_bytes=100_000)


@dataclass(slots=True)
class _Circuit:
    """How a provider has been answering."""

    failures: int = 0
    closed_again_at: float = 0.0
    probing: bool = False


@dataclass(slots=True)
class _Account:
    """What is remembered of one account at one provider. Nothing here is shown anywhere."""

    authorization: Authorization | None = field(default=None, repr=False)
    good_until: float = 0.0
    next_request_at: float = 0.0

    def good(self, now: float) -> Authorization | None:
        """The authorisation, while it is good a little longer."""
        return self.authorization if now < self.good_until else None


@dataclass(frozen=True, slots=True)
class _Failure:
    """A try that failed. `retried` ones may be tried again at once, after `wait_seconds` when the provider says."""

    message: str
    status: int = 0
    retried: bool = False
    wait_seconds: float | None = None
    # What a refused document's request was answered with, on 400 only.
    body: bytes = field(default=b"", repr=False)

    def error(self) -> Transient | Permanent:
        """What the caller is told."""
        return Transient(self.message, self.wait_seconds) if self.retried else Permanent(self.message)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Shared:
    """What the talks of one process share."""

    session: requests.Session
    limits: Limits
    allow_local: bool
    now: Callable[[], datetime]
    clock: Callable[[], float]
    sleep: Callable[[float], None]
    lock: threading.Lock = field(default_factory=threading.Lock)
    circuits: OrderedDict[str, _Circuit] = field(default_factory=OrderedDict)
    accounts: OrderedDict[str, _Account] = field(default_factory=OrderedDict, repr=False)
    # Names of secrets that a connector was seen to renew: they change while the account stays the same.
    rotating: dict[str, frozenset[str]] = field(default_factory=dict)


class Transport:
    """Carries the talks of connectors. One a process, made after the fork; safe to use from several threads.

    `api_bases` replaces a connector's own API base, by slug; a connection's `settings["api_base"]` goes first.
    """

    def __init__(
        self,
        *,
        allow_local: bool = False,
        api_bases: Mapping[str, str] | None = None,
        limits: Limits | None = None,
        user_agent: str = "Ledgerwire/1",
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        session = requests.Session()
        session.trust_env = False
        session.headers["User-Agent"] = user_agent
        session.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))
        session.mount("https://", PinnedAdapter(allow_local=allow_local))
        session.mount("http://", PinnedAdapter(allow_local=allow_local))
        self._api_bases = dict(api_bases or {})
        self._shared = _Shared(
            session=session, limits=limits or Limits(), allow_local=allow_local, now=now, clock=clock, sleep=sleep
        )

    def run(
        self,
        connector: Connector,
        credentials: Credentials,
        talk: Callable[[Credentials], Generator[Request, Response, T]],
        *,
        custody: Custody | None = None,
        listener: Listener | None = None,
    ) -> T:
        """Hold a talk (a fetch, a pull, a registration) to its end and return what it returns.

        `custody` is asked to trade secrets for an authorisation; without it what the provider renews is lost.
        `listener` hears each exchange of the talk itself, none of its authorisation. Raises Transient or Permanent
        (CredentialsRefused) for what the provider does, and MalformedPayload for what it says.
        """
        if connector.api is None:
            raise Permanent(f"{connector.slug} has no API")
        credentials = replace(credentials, asked_at=self._shared.now())
        base = self.base_of(connector, credentials)
        run = _Run(self._shared, connector.slug, connector.api, base, credentials, custody, listener)
        return run.hold(talk(credentials), authorized=True)

    def base_of(self, connector: Connector, credentials: Credentials) -> str:
        """Where the requests of a connection go."""
        documented = connector.api.base if connector.api else ""
        chosen = credentials.settings.get("api_base") or self._api_bases.get(connector.slug) or documented
        return chosen.rstrip("/")

    def document(
        self,
        connector: Connector,
        request: Request,
        *,
        api_base: str | None = None,
        denies: Callable[[bytes], bool] = lambda _refusal: False,
    ) -> bytes | None:
        """A key or certificate that a signature scheme asks for, or None where the provider has no such thing.

        A 404 or 410 says so, and a 400 whose body `denies` it.
        One try of a few seconds: somebody waits for the answer to a webhook. `request` goes to where its scheme
        allows; a path goes below the API base (`api_base` is the connection's own). A simulated provider, which is one
        reached by plain http on an installation that allows local ones, is asked for everything.
        Raises Transient or Permanent.
        """
        if connector.api is None:
            raise Permanent(f"{connector.slug} has no API")
        replaced = api_base or self._api_bases.get(connector.slug)
        base, parts = connector.api.base, urlsplit(request.url)
        if request.url.startswith("/") or self.is_simulated(replaced):
            base = replaced or base
            request = replace(request, url=parts.path)
        else:
            base = f"{parts.scheme}://{parts.netloc}"
        shared = replace(self._shared, limits=_DOCUMENT_LIMITS)
        nobody = Credentials(secrets={}, settings={}, external_id=None)
        api = replace(connector.api, base=base, also=())
        return _Run(shared, f"{connector.slug} keys", api, base.rstrip("/"), nobody, None, None).document(
            request, denies
        )

    def file(self, name: str, base: str, path: str, *, most_bytes: int) -> bytes:
        """A file that somebody publishes for everybody: `path`, which starts with /, below an address of the settings.

        `name` says whose it is, in messages and for the circuit. Raises Transient or Permanent.
        """
        shared = replace(self._shared, limits=replace(self._shared.limits, response_bytes=most_bytes))
        nobody = Credentials(secrets={}, settings={}, external_id=None)
        api = Api(base=base.rstrip("/"), authorize=_nothing)
        run = _Run(shared, name, api, api.base, nobody, None, None)
        return run.hold(_asked(Request(method="GET", url=path, headers={"Accept": "*/*"})), authorized=False).body

    def is_simulated(self, base: str | None) -> bool:
        """Whether a replaced API base is that of a stand-in on this machine or network."""
        return self._shared.allow_local and (base or "").startswith("http://")

    def authorities(self) -> bytes:
        """The certificate authorities that this installation trusts, as PEM."""
        return Path(DEFAULT_CA_BUNDLE_PATH).read_bytes()

    def close(self) -> None:
        """Close every connection."""
        self._shared.session.close()


def _nothing(_: Credentials) -> AuthorizationTalk:
    """What is published for everybody asks for no authorisation."""
    yield from ()
    return Authorization(headers={}, expires_in_seconds=0)


def _asked(request: Request) -> Generator[Request, Response, Response]:
    """A talk of one question."""
    return (yield request)


class _Run:
    """One talk: where it may go, how long it may take, and whose account it uses."""

    def __init__(
        self,
        shared: _Shared,
        slug: str,
        api: Api,
        base: str,
        credentials: Credentials,
        custody: Custody | None,
        listener: Listener | None,
    ) -> None:
        self._shared, self._slug, self._api, self._base, self._credentials = shared, slug, api, base, credentials
        self._custody, self._listener = custody, listener
        self._limits = shared.limits
        self._ends_at = shared.clock() + shared.limits.total_seconds
        self._circuit = self._remembered(shared.circuits, f"{slug} {base}", _Circuit)
        self._account = self._remembered(shared.accounts, self._account_key(), _Account)

    def hold(self, talk: Generator[Request, Response, T], *, authorized: bool) -> T:
        """Answer a talk's requests until it returns."""
        try:
            request = next(talk)
            while True:
                answer = self._carry(request, with_authorization=authorized)
                if authorized and self._listener is not None:
                    self._listener(request, answer)
                request = talk.send(answer)
        except StopIteration as end:
            result: T = end.value
            return result
        finally:
            talk.close()

    def document(self, request: Request, denies: Callable[[bytes], bool]) -> bytes | None:
        """One exchange without an account, and None where there is no such thing."""
        url = self._where(request.url)
        self._pass_circuit()
        answer = self._send(request, url, {}, keep_refusal=True)
        self._judge(answer)
        if isinstance(answer, Response):
            return answer.body
        if answer.status in _ABSENT or (answer.status == 400 and denies(answer.body)):
            return None
        raise answer.error()

    def _carry(self, request: Request, *, with_authorization: bool) -> Response:
        """One request, with its authorisation renewed once when the provider does not take it."""
        url = self._where(request.url)
        if not (with_authorization and request.authorized):
            return self._try(request, url, {})
        for _ in range(2):
            used = self._authorization()
            answer = self._try(request, url, used.headers, unauthorized_ok=True)
            if answer.status != 401:
                return answer
            if self._account.authorization is used:
                # Not what another thread got in the meantime.
                self._account.authorization = None
        raise CredentialsRefused(f"{self._slug} does not accept the connection's credentials")

    def _authorization(self) -> Authorization:
        """The account's authorisation, asked for when there is none that is good a little longer."""
        if known := self._account.good(self._shared.clock()):
            return known
        try:
            known = self._granted() or (self._custody or self._unkept)(self._trade)
        except Permanent as error:
            if isinstance(error, CredentialsRefused):
                raise
            raise CredentialsRefused(str(error)) from error
        account = self._account
        account.authorization = known
        seconds = known.expires_in_seconds
        account.good_until = self._shared.clock() + seconds - min(60.0, seconds * 0.1)
        return known

    def _granted(self) -> Authorization | None:
        """An authorisation that asks nobody: a header made of a key. None where the provider must be asked."""
        talk = self._api.authorize(self._credentials)
        try:
            next(talk)
        except StopIteration as end:
            granted: Authorization = end.value
            return granted
        finally:
            talk.close()
        return None

    def _unkept(self, trade: Trade) -> Authorization:
        return trade(self._credentials.secrets)

    def _trade(self, secrets: Mapping[str, str]) -> Authorization:
        """Ask the provider, unless another thread did while this one waited for its turn."""
        if known := self._account.good(self._shared.clock()):
            return known
        self._credentials = replace(self._credentials, secrets=secrets)
        made = self.hold(self._api.authorize(self._credentials), authorized=False)
        if made.renewed:
            with self._shared.lock:
                known_names = self._shared.rotating.get(self._slug, frozenset())
                self._shared.rotating[self._slug] = known_names | set(made.renewed)
            # From now on the account is known without these, by the next talk as well.
            self._account = self._remembered(self._shared.accounts, self._account_key(), lambda: self._account)
        return made

    def _try(
        self, request: Request, url: str, headers: Mapping[str, str], *, unauthorized_ok: bool = False
    ) -> Response:
        """Send, and send again while that may help and time is left. A POST that does something is sent once."""
        repeatable = request.method != "POST" or not request.authorized

        def outcome() -> Response | _Failure:
            self._pass_circuit()
            self._keep_rate()
            answer = self._send(request, url, headers)
            self._judge(answer)
            if isinstance(answer, _Failure) and unauthorized_ok and answer.status == 401:
                return Response(status=401, headers={}, body=b"")
            return answer

        def wait(state: tenacity.RetryCallState) -> float:
            failure = state.outcome.result() if state.outcome else None
            if isinstance(failure, _Failure) and failure.wait_seconds is not None:
                return failure.wait_seconds
            return (tenacity.wait_exponential(0.2, self._limits.wait_seconds / 2) + tenacity.wait_random(0, 0.3))(state)

        def give_up(state: tenacity.RetryCallState) -> bool:
            pause = state.upcoming_sleep
            too_long = pause > self._limits.wait_seconds or self._shared.clock() + pause >= self._ends_at
            return too_long or state.attempt_number >= self._limits.attempts

        def again(answer: Response | _Failure) -> bool:
            return repeatable and isinstance(answer, _Failure) and answer.retried

        retrying: tenacity.Retrying = tenacity.Retrying(
            retry=tenacity.retry_if_result(again),
            wait=wait,
            stop=give_up,
            sleep=self._shared.sleep,
            retry_error_callback=lambda state: state.outcome.result() if state.outcome else None,
        )
        answer = retrying(outcome)
        if isinstance(answer, _Failure):
            raise answer.error()
        return answer

    def _send(
        self, request: Request, url: str, headers: Mapping[str, str], *, keep_refusal: bool = False
    ) -> Response | _Failure:
        """One exchange. Errors are returned, not raised: a library's own exceptions carry headers and addresses."""
        what = f"{self._slug}: {request.method} {urlsplit(url).path}"
        left = self._ends_at - self._shared.clock()
        if left <= 0:
            return _Failure(f"{what} was not reached in time", retried=True)
        try:
            with self._shared.session.request(
                request.method,
                url,
                params=dict(request.params) or None,
                headers={"Accept": "application/json", **request.headers, **headers},
                json=request.json,
                data=dict(request.form) if request.form is not None else None,
                timeout=(min(self._limits.connect_seconds, left), min(self._limits.read_seconds, left)),
                allow_redirects=False,
                stream=True,
            ) as answer:
                if not 200 <= answer.status_code < 300:
                    refusal = self._refusal(what, answer)
                    asked = refusal.status == 400 and (keep_refusal or request.refusal is not None)
                    said = self._body(answer) if asked else b""
                    return _explained(refusal, request, said) if isinstance(said, bytes) else refusal
                body = self._body(answer)
                if isinstance(body, str):
                    return _Failure(f"{what} {body}", retried=body == "took too long")
                return Response(
                    status=answer.status_code,
                    headers={name.lower(): value for name, value in answer.headers.items()},
                    body=body,
                )
        except Refused as error:
            return _Failure(f"{what} was not sent: {error}")
        except ValueError:
            # A bad URL or header: the libraries' errors for these are ValueErrors too.
            return _Failure(f"{what} cannot be sent as described")
        except (requests.Timeout, TimeoutError):
            return _Failure(f"{what} took too long", retried=True)
        except (requests.RequestException, HTTPError, OSError) as error:
            return _Failure(f"{what} failed: {type(error).__name__}", retried=True)

    def _body(self, answer: requests.Response) -> bytes | str:
        """The body, or why it was not read to its end. Chunks come as they arrive, so that time is looked at."""
        chunks, size = [], 0
        while chunk := answer.raw.read1(65_536, decode_content=True):
            size += len(chunk)
            if size > self._limits.response_bytes:
                return f"answered with more than {self._limits.response_bytes} bytes"
            if self._shared.clock() > self._ends_at:
                return "took too long"
            chunks.append(chunk)
        return b"".join(chunks)

    def _refusal(self, what: str, answer: requests.Response) -> _Failure:
        status = answer.status_code
        if 300 <= status < 400:
            return _Failure(f"{what} answered with a redirect, which is never followed", status=status)
        wait = _retry_after(answer.headers.get("Retry-After"), self._shared.now())
        return _Failure(f"{what} answered {status}", status=status, retried=status in _RETRIED, wait_seconds=wait)

    def _where(self, url: str) -> str:
        """The address of a request. Raises Permanent where it may not be sent there."""
        return address_of(url, slug=self._slug, api=self._api, base=self._base, allow_local=self._shared.allow_local)

    def _pass_circuit(self) -> None:
        """Go on while the circuit is closed; once it has been open long enough, let one request try."""
        with self._shared.lock:
            circuit, now = self._circuit, self._shared.clock()
            if circuit.failures < self._limits.failures:
                return
            if now >= circuit.closed_again_at and not circuit.probing:
                circuit.probing = True
                return
            wait = max(circuit.closed_again_at - now, 1.0)
        raise Transient(f"{self._slug} keeps failing and is left alone for a while", wait)

    def _judge(self, answer: Response | _Failure) -> None:
        """Count what says that the provider is in trouble. Its 4xx, 429 included, says that it is well."""
        failed = isinstance(answer, _Failure) and answer.retried and (answer.status == 0 or answer.status >= 500)
        with self._shared.lock:
            circuit = self._circuit
            circuit.probing = False
            circuit.failures = circuit.failures + 1 if failed else 0
            if circuit.failures >= self._limits.failures:
                circuit.closed_again_at = self._shared.clock() + self._limits.open_seconds

    def _keep_rate(self) -> None:
        """Wait for this account's turn. Turns are handed out in advance, so threads do not meet."""
        with self._shared.lock:
            now = self._shared.clock()
            turn = max(now, self._account.next_request_at)
            if turn >= self._ends_at:
                # Nothing was sent, so a probe must not stay taken.
                self._circuit.probing = False
            else:
                self._account.next_request_at = turn + 1.0 / self._api.rate_per_second
        if turn >= self._ends_at:
            raise Transient(f"{self._slug}: too many requests wait for their turn", turn - now)
        if turn > now:
            self._shared.sleep(turn - now)

    def _account_key(self) -> str:
        """One key for an account, which changes with its secrets and does not show them."""
        known, rotating = self._credentials, self._shared.rotating.get(self._slug, frozenset())
        secrets = sorted((name, text) for name, text in known.secrets.items() if name not in rotating)
        parts = [secrets, sorted(known.settings.items()), known.external_id or ""]
        digest = hashlib.sha256(repr(parts).encode("utf-8", "surrogatepass")).hexdigest()
        return f"{self._slug} {self._base} {digest}"

    def _remembered(self, store: OrderedDict[str, T], key: str, make: Callable[[], T]) -> T:
        with self._shared.lock:
            found = store.setdefault(key, make())
            store.move_to_end(key)
            if len(store) > _MAX_REMEMBERED:
                store.popitem(last=False)
            return found


def _explained(refusal: _Failure, request: Request, said: bytes) -> _Failure:
    """A refusal with its body, and with the provider's reason where the request knows how to read it."""
    words = request.refusal(said) if request.refusal is not None and said else None
    clean = "".join(sign if sign.isprintable() else " " for sign in (words or "")[:_MOST_WORDS]).strip()
    return replace(refusal, body=said, message=f"{refusal.message}: {clean}" if clean else refusal.message)


def _retry_after(text: str | None, now: datetime) -> float | None:
    """Seconds of a Retry-After header, which holds a number or a date. None when it holds neither."""
    if text is None:
        return None
    if text.isascii() and text.isdigit() and len(text) < 9:
        return float(text)
    try:
        return max((parsedate_to_datetime(text) - now).total_seconds(), 0.0)
    except (ValueError, TypeError):
        return None
