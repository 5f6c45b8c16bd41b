"""Talk about an invoice between those who have a part in it. Comments are added, never changed."""

from __future__ import annotations

from core.talk.attachments import bring, find
from core.talk.comments import MAX_ATTACHMENTS, MAX_BODY, MAX_MENTIONS, NewComment, comment_place, say, thread
from core.talk.parties import Party, party_list, require_party

__all__ = [
    "MAX_ATTACHMENTS",
    "MAX_BODY",
    "MAX_MENTIONS",
    "NewComment",
    "Party",
    "bring",
    "comment_place",
    "find",
    "party_list",
    "require_party",
    "say",
    "thread",
]
