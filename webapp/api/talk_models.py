"""The shapes of talk: what may be said, and how it is shown."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal
from uuid import UUID

from pydantic import Field

from core.talk import MAX_ATTACHMENTS, MAX_BODY, MAX_MENTIONS
from webapp.api.models import Input, Output


class CommentInput(Input):
    """A comment: plain text, whom of the parties it is for, and files brought to the invoice before.

    With `mail` the seller's words, of at most 2000 characters, go to the customer by mail as well, with the link to
    the invoice; to one without an account that is the only way.
    """

    body: Annotated[str, Field(min_length=1, max_length=MAX_BODY, pattern=r"\S")]
    mentions: Annotated[list[UUID], Field(default_factory=list, max_length=MAX_MENTIONS)]
    attachments: Annotated[list[UUID], Field(default_factory=list, max_length=MAX_ATTACHMENTS)]
    mail: bool = False


class Author(Output):
    """Who said it."""

    id: UUID
    name: str
    organisation: str
    role: Literal["seller", "buyer", "investor", "operator"]


class Mention(Output):
    """Whom it is for."""

    id: UUID
    name: str


class Attachment(Output):
    """A file that hangs on it; /api/invoices/<invoice id>/attachments/<id> is its content."""

    id: UUID
    name: str
    media_type: str
    size: int


class Comment(Output):
    """Something that was said. It never changes."""

    id: UUID
    invoice_id: UUID
    author: Author
    body: str
    mentions: list[Mention]
    attachments: list[Attachment]
    created_at: datetime


class Thread(Output):
    """A page of what was said, newest first, and whom the asker may mention."""

    items: list[Comment]
    next_cursor: str | None
    parties: list[Author]


class StoredFile(Output):
    """A file that was brought. `sha256` is of its content, hexadecimal."""

    id: UUID
    name: str
    media_type: str
    size: int
    sha256: str
    created_at: datetime
