"""A new connector from nothing: module, samples, test and page, green at once and unfinished where it says TODO.

What is written is an ordinary connector of a made-up provider that signs as the chosen scheme does. Inside this
repository it joins the built-in ones; in another folder it is a package of its own with an entry point.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from string import Template

from connectors import registry
from connectors.base import SLUG
from core.errors import Conflict, Invalid


@dataclass(frozen=True, slots=True, kw_only=True)
class Scheme:
    """A way to sign. `proves` says whether the body is proven; where it is not, events only point."""

    words: str
    imports: str
    code: str
    proves: bool = True


SCHEMES: Mapping[str, Scheme] = {
    "hmac": Scheme(
        words="the digest of the body in a header",
        imports="Hmac",
        code='Hmac(header="$header-Signature")',
    ),
    "timestamped-hmac": Scheme(
        words="`t=…,v1=…` in one header, as Stripe has it",
        imports="TimestampedHmac",
        code='TimestampedHmac(header="$header-Signature")',
    ),
    "hmac-and-timestamp": Scheme(
        words="the digest of time and body in a header, the time in another",
        imports="BODY, TIMESTAMP, Hmac",
        code='Hmac(\n        header="$header-Signature",\n        timestamp_header="$header-Timestamp",\n'
        '        signed=(TIMESTAMP, ".", BODY),\n    )',
    ),
    "hmac-and-address": Scheme(
        words="the digest of address and body in a header, as Square has it",
        imports="BODY, URL, Hmac",
        code='Hmac(header="$header-Signature", encoding="base64", signed=(URL, BODY))',
    ),
    "standard-webhooks": Scheme(
        words="Standard Webhooks 1.0.0",
        imports="StandardWebhooks",
        code="StandardWebhooks()",
    ),
    "static-secret": Scheme(
        words="a secret that stands in a header: it proves nothing about the body, so events only point",
        imports="StaticSecret",
        code='StaticSecret(header="$header-Secret")',
        proves=False,
    ),
    "unsigned": Scheme(
        words="nothing is signed, so events only point",
        imports="Unsigned",
        code="Unsigned()",
        proves=False,
    ),
}

EVENTS = {"payment.pending": "pending", "payment.failed": "failed", "payment.succeeded": "succeeded"}

_RECORDS = '''"""$title: TODO what it is, in a line.

Checked against TODO (the address of the provider's documentation, and the day).
"""

from __future__ import annotations

from connectors.base import Connector, Field, Reading
from connectors.payload import Payload, micros
from connectors.signatures import $imports
from core.events import Payment, PaymentStatus, Reference

# TODO: every status that the provider documents.
STATUS = {
    "pending": PaymentStatus.PENDING,
    "failed": PaymentStatus.FAILED,
    "succeeded": PaymentStatus.SUCCEEDED,
}


def read_payment(item: Payload) -> Reading:
    """A payment in full. TODO: the fields as the provider names them."""
    data = item.at("data")
    named = data.optional_identifier("reference")
    payment = Payment(
        object_id=data.identifier("id"),
        version=micros(item.iso("created_at")),
        status=data.choice("status", STATUS),
        money=data.minor_money("amount", data.currency("currency"), positive=True),
        occurred_at=item.iso("created_at"),
        references=(Reference(0, named),) if named else (),
    )
    return [payment]


connector = Connector(
    slug="$slug",
    title="$title",
    docs_url="https://$slug.example/docs",  # TODO
    checked="TODO",
    signature=$signature,
    event_id=lambda item, _envelope: item.identifier("id"),
    event_name=lambda item: item.identifier("type"),
    external_id=lambda item: item.optional_identifier("account"),
    fields=(Field(name="webhook_secret", label="Webhook secret", secret=True),),
    # TODO: what a person does at the provider, a sentence a step.
    steps=("Paste {url} as the webhook's address at $title.",),
    brings=("payments",),
    # TODO: every event of the documentation, here or, with the reason, in `ignored`.
    events={
        "payment.pending": read_payment,
        "payment.failed": read_payment,
        "payment.succeeded": read_payment,
    },
    ignored={"ping": "a test that says nothing"},
)
'''

_POINTER = '''"""$title: TODO what it is, in a line.

Checked against TODO (the address of the provider's documentation, and the day). Nothing proves a body, so an event
only says which payment to ask for.
"""

from __future__ import annotations

from functools import partial
from urllib.parse import quote

from connectors.base import (
    Api,
    Authorization,
    AuthorizationTalk,
    Connector,
    Credentials,
    Fetch,
    Field,
    Reading,
    Request,
    Talk,
)
from connectors.payload import Payload, micros
from connectors.signatures import $imports
from core.events import Payment, PaymentStatus, Reference

# TODO: every status that the provider documents.
STATUS = {"pending": PaymentStatus.PENDING, "failed": PaymentStatus.FAILED, "succeeded": PaymentStatus.SUCCEEDED}


def authorize(credentials: Credentials) -> AuthorizationTalk:
    """The API key, as it is. TODO: how the provider's API is asked."""
    yield from ()
    bearer = f"Bearer {credentials.secret('api_key')}"
    return Authorization(headers={"Authorization": bearer}, expires_in_seconds=3600)


def fetch_payment(identity: str, credentials: Credentials) -> Talk:
    """The payment that an event points at. TODO: the fields as the provider names them."""
    data = (yield Request(method="GET", url=f"/payments/{quote(identity, safe='')}")).payload()
    data.same("id", identity)
    named = data.optional_identifier("reference")
    payment = Payment(
        object_id=identity,
        version=micros(credentials.moment()),
        status=data.choice("status", STATUS),
        money=data.minor_money("amount", data.currency("currency"), positive=True),
        occurred_at=data.iso("created_at"),
        references=(Reference(0, named),) if named else (),
    )
    return [payment]


def read_payment(item: Payload) -> Reading:
    """A pointer to a payment."""
    return Fetch(talk=partial(fetch_payment, item.at("data").identifier("id")))


connector = Connector(
    slug="$slug",
    title="$title",
    docs_url="https://$slug.example/docs",  # TODO
    checked="TODO",
    signature=$signature,
    event_id=lambda item, _envelope: item.identifier("id"),
    event_name=lambda item: item.identifier("type"),
    external_id=lambda item: item.optional_identifier("account"),
    api=Api(base="https://api.$slug.example", authorize=authorize),  # TODO
    fields=(Field(name="api_key", label="API key", secret=True, required=True),),
    # TODO: what a person does at the provider, a sentence a step.
    steps=("Paste {url} as the webhook's address at $title.",),
    brings=("payments",),
    # TODO: every event of the documentation, here or, with the reason, in `ignored`.
    events=dict.fromkeys(("payment.pending", "payment.failed", "payment.succeeded"), read_payment),
    ignored={"ping": "a test that says nothing"},
)
'''

_READ = """
def test_a_payment_names_its_invoice() -> None:
    (event,) = connector.open(deliver({"webhook-id": "m"}, SAMPLE), Verified(message_id="m"))
    reading = connector.read(event.name, event.item)
    assert reading == [
        Payment(
            object_id="pay_1",
            version=1793737570000000,
            status=PaymentStatus.SUCCEEDED,
            money=Money(129_000, "INR"),
            occurred_at=datetime(2026, 11, 3, 20, 26, 10, tzinfo=UTC),
            references=(Reference(0, "INV-2026-0042"),),
        )
    ]
"""

_ASK = """
def test_a_payment_is_asked_for_and_nothing_is_believed_before() -> None:
    (event,) = connector.open(deliver({}, SAMPLE), Verified(trust=Trust.HINT))
    reading = connector.read(event.name, event.item)
    assert isinstance(reading, Fetch)
    at = datetime(2026, 11, 3, 20, 26, 10, tzinfo=UTC)
    talk = reading.talk(Credentials(secrets={}, settings={}, external_id=None, asked_at=at))
    assert next(talk).url == "/payments/pay_1"
"""

_IMPORTS = {
    True: (
        "from connectors.base import Verified",
        "from connectors.contract import deliver",
        "from core.events import Payment, PaymentStatus, Reference",
        "from core.money import Money",
    ),
    False: (
        "from connectors.base import Credentials, Fetch, Verified",
        "from connectors.contract import deliver",
        "from core.events import Trust",
    ),
}

_TEST = '''"""$title: what its events mean. $contract"""

from __future__ import annotations

$imports

$sample
$test'''

_STREAM = '''"""A life of $slug: see the package."""

from __future__ import annotations

from datetime import timedelta
from random import Random

from tests.connectors.streams import START, Json, Step, step


def stream(seed: int) -> list[Step]:
    """A payment that perhaps fails before it succeeds. TODO: refunds, disputes, and what else there is."""
    chance = Random(seed)
    steps: list[Step] = []

    def tell(status: str) -> None:
        at = (START + timedelta(seconds=chance.choice([0, 1]) + 2 * len(steps))).isoformat()
        payment: Json = {"id": f"pay_{seed}", "status": status, "amount": 1000 + seed, "currency": "INR",
                         "reference": f"INV-{seed}", "created_at": at}  # fmt: skip
        said = {"id": f"evt_{seed}_{len(steps)}", "type": f"payment.{status}", "created_at": at, "data": payment}
        steps.append(step("$slug", said, reply=lambda _request: payment))

    tell("pending")
    for _ in range(chance.randrange(3)):
        tell("failed")
    tell("succeeded")
    return steps
'''

_PAGE = """# $title

TODO: what it brings, and which documentation of which day it was checked against.

## Set-up at $title

1. In Ledgerwire, make a connection of kind *$title*. It shows a webhook address and, once, a secret.
2. TODO: what is done at the provider, step by step.

Signed is $words.

## How a payment names its invoice

By `data.reference`. TODO: every field that may name it, best first.

## What becomes of each event

| event | result |
|---|---|
| `payment.pending`, `payment.failed`, `payment.succeeded` | payment |
| `ping` | ignored: a test that says nothing |

## Unverified

TODO: what the documentation leaves open, and how it was decided.
"""

_PROJECT = """[build-system]
requires = ["hatchling>=1.27"]
build-backend = "hatchling.build"

[project]
name = "ledgerwire-$dashed"
version = "0.1.0"
description = "$title for Ledgerwire."
requires-python = ">=3.11"
dependencies = ["ledgerwire"]

[project.entry-points."ledgerwire.connectors"]
$slug = "ledgerwire_$slug:connector"

[tool.hatch.build]
dev-mode-dirs = ["."]

[tool.hatch.build.targets.wheel]
include = ["ledgerwire_$slug.py"]

[tool.pytest.ini_options]
testpaths = ["."]
"""


def new(slug: str, scheme: str, *, title: str | None = None, folder: Path | None = None, root: Path) -> list[Path]:
    """Write a new connector and return the files, all of them new but the registry.

    With a `folder` it is a package of its own there; without, it is written into the repository at `root`.
    Raises Invalid for a name or scheme that cannot be, and Conflict where something is there already.
    """
    if not SLUG.fullmatch(slug):
        raise Invalid("slug", f"must be small letters, digits and _, such as acme_pay ({SLUG.pattern})")
    if scheme not in SCHEMES:
        raise Invalid("scheme", f"must be one of {', '.join(SCHEMES)}")
    if slug in registry.all():
        raise Conflict(f"there is a connector {slug} already")
    title = title or slug.replace("_", " ").title()
    if not title.isprintable() or '"' in title or "\\" in title or "$" in title:
        raise Invalid("title", "must be plain words")
    files = _own(slug, scheme, title) if folder else _built_in(slug, scheme, title)
    base = folder or root
    if taken := [path for path in files if (base / path).exists()]:
        raise Conflict(f"there is already {', '.join(map(str, sorted(taken)))} in {base}; nothing was written")
    for path, content in files.items():
        (base / path).parent.mkdir(parents=True, exist_ok=True)
        (base / path).write_text(content, encoding="utf-8")
    written = [base / path for path in files]
    return written if folder else [*written, _listed(root / "connectors" / "registry.py", slug)]


def contents(scheme: str) -> dict[str, str]:
    """The samples of a new connector, by their name below its samples folder."""
    found = {}
    for event, status in EVENTS.items():
        payment = _payment(status)
        data: dict[str, object] = payment if SCHEMES[scheme].proves else {"id": payment["id"]}
        said = {"id": f"evt_{status}", "type": event, "account": "acct_1", "created_at": "2026-11-03T20:26:10Z"}
        found[f"{event}.json"] = _written({**said, "data": data})
    if not SCHEMES[scheme].proves:
        routes = [{"method": "GET", "path": "/payments/{id}", "answer": "payment.json"}]
        answer = {**_payment("succeeded"), "id": "{id}", "created_at": "2026-11-03T20:26:10Z"}
        found |= {"api/routes.json": _written(routes), "api/payment.json": _written(answer)}
    told = {"amount": ["data.amount"], "currency": ["data.currency"], "invoice": ["data.reference"]}
    asked = {"fresh": [], "amount": ["amount"], "currency": ["currency"], "invoice": ["reference"]}
    script: dict[str, object] = {"fresh": ["id", "data.id"], "account": ["account"], "time": ["created_at"]}
    script |= {**told, "minor": True} if SCHEMES[scheme].proves else {"minor": True, "except": {"payment.json": asked}}
    return {**found, "simulate.json": _written(script)}


def _payment(status: str) -> dict[str, object]:
    return {"id": "pay_1", "status": status, "amount": 129_000, "currency": "INR", "reference": "INV-2026-0042"}


def _written(value: object) -> str:
    return json.dumps(value, indent=2) + "\n"


def _filled(template: str, **values: str) -> str:
    return Template(template).substitute(values)


def _module(slug: str, scheme: str, title: str) -> str:
    chosen = SCHEMES[scheme]
    header = slug.replace("_", " ").title().replace(" ", "-")
    signature = _filled(chosen.code, header=header) if "$" in chosen.code else chosen.code
    return _filled(
        _RECORDS if chosen.proves else _POINTER, slug=slug, title=title, imports=chosen.imports, signature=signature
    )


def _own(slug: str, scheme: str, title: str) -> dict[Path, str]:
    """The files of a package of its own."""
    samples = contents(scheme)
    imports = ("from datetime import UTC, datetime", "from pathlib import Path", "")
    sample = (
        'SAMPLES = Path(__file__).parent / "samples"',
        f'SAMPLE = (SAMPLES / "{slug}" / "payment.succeeded.json").read_bytes()',
        "",
        "globals().update(contract.cases(connector, samples=SAMPLES))",
    )
    ours = ("from connectors import contract", *_IMPORTS[SCHEMES[scheme].proves])
    found = {
        "pyproject.toml": _filled(_PROJECT, slug=slug, title=title, dashed=slug.replace("_", "-")),
        f"ledgerwire_{slug}.py": _module(slug, scheme, title),
        f"test_{slug}.py": _filled(
            _TEST,
            title=title,
            contract="Every case of the contract runs here, too.",
            imports="\n".join([*imports, *_sorted(ours), "", f"from ledgerwire_{slug} import connector"]),
            sample="\n".join([*sample, ""]),
            test=_READ if SCHEMES[scheme].proves else _ASK,
        ),
        "README.md": _filled(_PAGE, title=title, words=SCHEMES[scheme].words),
        **{f"samples/{slug}/{name}": text for name, text in samples.items() if name != "simulate.json"},
    }
    return {Path(name): text for name, text in found.items()}


def _built_in(slug: str, scheme: str, title: str) -> dict[Path, str]:
    """The files of a connector of this repository."""
    samples = contents(scheme)
    imports = (
        "from connectors import samples",
        f"from connectors.{slug} import connector",
        *_IMPORTS[SCHEMES[scheme].proves],
    )
    found = {
        f"connectors/{slug}.py": _module(slug, scheme, title),
        f"tests/connectors/test_{slug}.py": _filled(
            _TEST,
            title=title,
            contract="The contract runs in test_contract.py.",
            imports="\n".join(["from datetime import UTC, datetime", "", *_sorted(imports)]),
            sample=f'SAMPLE = samples.load("{slug}", "payment.succeeded")\n',
            test=_READ if SCHEMES[scheme].proves else _ASK,
        ),
        f"tests/connectors/streams/{slug}.py": _filled(_STREAM, slug=slug),
        f"docs/connectors/{slug}.md": _filled(_PAGE, title=title, words=SCHEMES[scheme].words),
        **{f"connectors/samples/{slug}/{name}": text for name, text in samples.items()},
    }
    return {Path(name): text for name, text in found.items()}


def _sorted(imports: Sequence[str]) -> list[str]:
    return sorted(imports, key=lambda line: line.split()[1])


def _listed(path: Path, slug: str) -> Path:
    """Put the slug among the built-in ones."""
    text = path.read_text(encoding="utf-8")
    before, mark, rest = text.partition("BUILT_IN = (\n")
    names, end, after = rest.partition(")\n")
    lines = sorted({*names.splitlines(keepends=True), f'    "{slug}",\n'})
    path.write_text(before + mark + "".join(lines) + end + after, encoding="utf-8")
    return path
