"""What a person must know and can do something about: one row a trouble, told once, cleared when it is over."""

from __future__ import annotations

from core.notifications.store import (
    Notice,
    clear,
    clear_all,
    list_notifications,
    mark_all_read,
    mark_read,
    tell,
    tell_all,
    unread,
)

__all__ = [
    "Notice",
    "clear",
    "clear_all",
    "list_notifications",
    "mark_all_read",
    "mark_read",
    "tell",
    "tell_all",
    "unread",
]
