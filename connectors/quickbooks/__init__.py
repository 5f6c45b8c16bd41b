"""QuickBooks Online (Intuit): invoices, bills and credit notes, payments, and the lines of bank and card accounts.

Checked against Intuit's webhook pages and SDKs as of the CloudEvents change (2025-11-12, mandatory from 2026-07-31);
bodies of both formats are read. An event is a pointer, whatever else it holds. Decided where the pages are silent: a
payment over several invoices pays the first that is known; a deleted one is left to a person, because QuickBooks no
longer says what it was worth; ids of deleted objects never come back.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from connectors import access, naming
from connectors.base import Api, Connector, Fetch, Mirror, Pull, Reader, Reading
from connectors.payload import Payload
from connectors.quickbooks.asking import SANDBOX, authorize, fetch, fetch_removed, pull_changes, refuse
from connectors.quickbooks.records import ENTITIES, FOR_GOOD, Entity, moment
from connectors.quickbooks.writing import write
from connectors.signatures import Hmac
from core.events import MirroredInvoiceGone

CLOUD_EVENT = re.compile(r"qbo\.(\w+)\.(\w+)\.v1")
PAST = {"create": "created", "update": "updated", "delete": "deleted", "merge": "merged", "void": "voided"}
IGNORED = {
    "budget": "a plan, which moves no money",
    "class": "a label of the company's own",
    "currency": "a setting of the company",
    "customer": "customers are read with the invoices that name them",
    "department": "a label of the company's own",
    "employee": "staff are none of these books' business",
    "estimate": "an offer, which nobody owes yet",
    "item": "goods and services are read with the invoices that name them",
    "journalcode": "a setting of the company",
    "journalentry": "an entry between ledger accounts, which moves no money",
    "paymentmethod": "a setting of the company",
    "preferences": "a setting of the company, asked for when it is needed",
    "purchaseorder": "an order, which nobody owes yet",
    "taxagency": "a setting of the company",
    "term": "a setting of the company",
    "timeactivity": "hours that were worked, which nobody owes yet",
    "vendor": "suppliers are read with the bills that name them",
}


def _split(body: Payload) -> Iterable[Payload]:
    """The events of a CloudEvents list, or of the older format with its company in each."""
    if isinstance(body.value, list):
        return body.items()
    found = []
    for notice in body.items("eventNotifications"):
        company = notice.name("realmId")
        for entity in notice.at("dataChangeEvent").items("entities"):
            said = entity.value if isinstance(entity.value, dict) else {}
            found.append(Payload({**said, "realmId": company}, entity))
    return found


def event_name(item: Payload) -> str:
    """`invoice.updated`, in both formats. What has another form keeps its own name."""
    if item.has("realmId"):
        operation = item.identifier("operation").lower()
        return f"{item.identifier('name').lower()}.{PAST.get(operation, operation)}"
    found = CLOUD_EVENT.fullmatch(item.identifier("type"))
    return f"{found[1].replace('_', '').lower()}.{found[2].lower()}" if found else item.identifier("type")


def event_id(item: Payload) -> str:
    """CloudEvents have one; of the older format it is what the event says, as a digest."""
    if item.has("specversion"):
        said = [item.identifier("source"), item.identifier("id")]
    else:
        said = [item.name(key) for key in ("realmId", "name", "id", "operation", "lastUpdated")]
    return naming.digest(*said)


def company_of(item: Payload) -> str | None:
    """The company's realm id."""
    return item.optional_name("realmId") or item.optional_name("intuitaccountid")


def _reader(entity: Entity, operation: str) -> Reader:
    def read(item: Payload) -> Reading:
        company = company_of(item)
        if company is None:
            raise item.wrong("intuitaccountid", "the company's realm id")
        legacy = item.has("realmId")
        identity = item.name("id" if legacy else "intuitentityid")
        if operation in ("deleted", "voided") and entity.kind == "payment":
            return Fetch(talk=lambda held: refuse(entity, identity, operation, held))
        if operation != "deleted":
            return Fetch(talk=lambda held: fetch(entity, company, identity, held, void=operation == "voided"))
        if entity.kind == "mirrored":
            return [MirroredInvoiceGone(object_id=f"{entity.name.lower()}:{identity}", version=FOR_GOOD)]
        at = moment(item, "lastUpdated" if legacy else "time")
        return Fetch(talk=lambda held: fetch_removed(entity, company, identity, at, held))

    return read


def _mapped() -> dict[str, Reader]:
    found: dict[str, Reader] = {}
    for name, entity in ENTITIES.items():
        found[f"{name}.created"] = found[f"{name}.updated"] = _reader(entity, "updated")
        for operation in ("merged",) if entity.kind == "account" else ("voided", "deleted"):
            found[f"{name}.{operation}"] = _reader(entity, operation)
    return found


def _ignored() -> dict[str, str]:
    operations = (*PAST.values(), "emailed")
    found = {f"{name}.{operation}": why for name, why in IGNORED.items() for operation in operations}
    found |= {f"{name}.emailed": "that it was sent changes nothing that is owed" for name in ENTITIES}
    found |= {f"{name}.merged": "only lists of names are merged" for name in ENTITIES if name != "account"}
    ended = "an account is made inactive, which comes as an update"
    return found | {"account.deleted": ended, "account.voided": ended}


connector = Connector(
    slug="quickbooks",
    title="QuickBooks Online",
    docs_url="https://developer.intuit.com/app/developer/qbo/docs/develop/webhooks",
    checked="2025-11-12",
    # One verifier token an app and environment, as text; both formats are signed alike.
    signature=Hmac(header="intuit-signature", encoding="base64"),
    makes_secret=False,
    split=_split,
    event_id=lambda item, _envelope: event_id(item),
    event_name=event_name,
    external_id=company_of,
    events=_mapped(),
    ignored=_ignored(),
    api=Api(
        base="https://quickbooks.api.intuit.com",
        also=("https://oauth.platform.intuit.com/oauth2", SANDBOX),
        authorize=authorize,
    ),
    pull=Pull(talk=pull_changes, what="invoices, bills, payments and account lines that changed", days=30),
    mirror=Mirror(write=write, needs=("sales_item", "bank_account")),
    brings=("invoices elsewhere", "payments", "bank transactions", "bank accounts"),
    fields=(
        access.setting("external_id", "Company id", "The realm id of the company.", required=True),
        access.setting("client_id", "Client id", "Of the app at Intuit.", required=True),
        access.secret("client_secret", "Client secret", required=True),
        access.secret("refresh_token", "Refresh token", "Renewed by itself.", required=True),
        access.secret("webhook_secret", "Verifier token", "Used as it stands."),
        access.setting("environment", "Environment", "Write sandbox for a sandbox company."),
        access.setting("sales_item", "Sales item", "To write there: id of the product or service on every line."),
        access.setting("bank_account", "Bank account", "To write there: id of the account that payments go to."),
        access.setting("credit_account", "Credit account", "Id of the account for credit and tax kept back."),
        access.setting("tax_types", "Tax codes", "Rates in per cent and ids of tax codes, such as 18=5 0=2."),
    ),
    steps=(
        "Make an app at developer.intuit.com with the accounting scope.",
        "Connect the company in the OAuth playground, and enter its realm id and the refresh token here.",
        "Enter the app's client id and client secret here, those of the same environment as the company.",
        "In the app's webhook settings enter {url} and choose the entities named in the documentation.",
        "Copy the verifier token, which is another one for development and for production, into the connection.",
    ),
)
