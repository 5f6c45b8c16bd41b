"""Mail: written in the transaction of what it tells, sent after it by a worker."""

from __future__ import annotations

from core.mail.store import Attached, Mail, Sender, about, list_mails, mail_for, readdress, write

__all__ = ["Attached", "Mail", "Sender", "about", "list_mails", "mail_for", "readdress", "write"]
