"""Papers that people hand in: judged by their content, sealed, and kept outside the web root."""

from __future__ import annotations

from core.files.cabinet import (
    Cabinet,
    FileQuotaReached,
    FileUnavailable,
    Kept,
    StoredFile,
    describe,
    record,
    require_room,
)
from core.files.kinds import (
    ANYTHING,
    DOCUMENTS,
    MAX_BYTES,
    PAPERS,
    FileTooLarge,
    FileTypeRefused,
    clean_name,
    media_type_of,
)

__all__ = [
    "ANYTHING",
    "DOCUMENTS",
    "MAX_BYTES",
    "PAPERS",
    "Cabinet",
    "FileQuotaReached",
    "FileTooLarge",
    "FileTypeRefused",
    "FileUnavailable",
    "Kept",
    "StoredFile",
    "clean_name",
    "describe",
    "media_type_of",
    "record",
    "require_room",
]
