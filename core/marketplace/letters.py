"""Mails of the marketplace, in words."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from html import escape
from uuid import UUID

from core.mail import Mail
from core.marketplace import news


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What the buyer is asked to confirm. Amounts in minor units; `link` is the whole address of the page."""

    financing_id: UUID
    version: int
    number: str
    seller: str
    buyer: str
    buyer_email: str
    currency: str
    face: int
    deductions: int
    issue_date: date
    due_date: date
    confirm_by: date
    link: str


def ask_to_confirm(asked: Asked) -> Mail:
    """The mail by which a buyer without an account is asked (marketplace rules 2.1). Sending it twice is one mail.

    The page behind the link needs no sign-in, so the mail says what the link does and that it is not to be passed on.
    """
    rows = [
        ("Invoice", asked.number),
        ("From", asked.seller),
        ("To", asked.buyer),
        ("Issued", f"{asked.issue_date.day} {asked.issue_date:%b %Y}"),
        ("Due", f"{asked.due_date.day} {asked.due_date:%b %Y}"),
        ("Total", news.spell(asked.face, asked.currency)),
    ]
    if asked.deductions:
        rows.append(("Less deductions", news.spell(asked.deductions, asked.currency)))
        rows.append(("To be paid", news.spell(asked.face - asked.deductions, asked.currency)))
    opening = f"{asked.seller} asks you to confirm this invoice, so that it can be financed before it is due."
    what = (
        f"Please look at it and say until {asked.confirm_by.day} {asked.confirm_by:%b %Y} whether you owe it, and "
        "how much. What you confirm cannot be taken back: you promise to pay that amount on the due date. If "
        "something is wrong, reject it and say why."
    )
    caution = "Whoever opens this link answers for you, so please do not pass it on. It costs you nothing."
    width = max(len(name) for name, _ in rows)
    table = "\n".join(f"  {name:<{width}}  {value}" for name, value in rows)
    plain = f"{opening}\n\n{table}\n\n{what}\n\n{asked.link}\n\n{caution}\n"
    cells = "".join(
        f'<tr><td style="padding:2px 16px 2px 0;color:#666">{escape(name)}</td><td>{escape(value)}</td></tr>'
        for name, value in rows
    )
    html = (
        f'<div style="font-family:sans-serif;max-width:36em;line-height:1.5"><p>{escape(opening)}</p>'
        f'<table style="border-collapse:collapse">{cells}</table><p>{escape(what)}</p>'
        f'<p><a href="{escape(asked.link, quote=True)}" style="display:inline-block;padding:8px 16px;'
        'background:#066fd1;color:#fff;text-decoration:none;border-radius:4px">Look at the invoice</a></p>'
        f'<p style="color:#666">{escape(caution)}</p></div>'
    )
    return Mail(
        to=asked.buyer_email,
        subject=f"Please confirm invoice {asked.number} of {asked.seller}",
        text=plain,
        html=html,
        subject_kind="financing",
        subject_id=asked.financing_id,
        key=f"confirm:{asked.financing_id}:{asked.version}",
    )
