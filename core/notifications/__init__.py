"""What a person must know and can do something about: one row a trouble, told once, cleared when it is over."""

from __future__ import annotations

from core.notifications.store import Notice, clear, list_notifications, mark_read, tell, unread

__all__ = ["Notice", "clear", "list_notifications", "mark_read", "tell", "unread"]
