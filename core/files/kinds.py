"""What a file is, by its content alone, and a name that is safe to show and to save under."""

from __future__ import annotations

import re
import unicodedata
from pathlib import PurePosixPath

from core.errors import PlatformError

# The largest file that is taken: a scanned invoice of several pages fits, a photo album does not.
MAX_BYTES = 5 * 1024 * 1024
MAX_NAME = 120
_MAX_SUFFIX = 10

PDF, PNG, JPEG, PLAIN, CSV = "application/pdf", "image/png", "image/jpeg", "text/plain", "text/csv"
# What proves something (KYC, invoices), and what may hang on a comment.
DOCUMENTS = frozenset({PDF, PNG, JPEG})
PAPERS = DOCUMENTS | {PLAIN, CSV}
# Whatever it is, kept as it came: for files that their own reader has judged, such as bank statements.
BYTES = "application/octet-stream"
ANYTHING = frozenset({BYTES})

_SUFFIXES = {PDF: (".pdf",), PNG: (".png",), JPEG: (".jpg", ".jpeg"), PLAIN: (".txt",), CSV: (".csv",), BYTES: ()}
_WORDS = {PDF: "PDF", PNG: "PNG", JPEG: "JPEG", PLAIN: "plain text", CSV: "CSV", BYTES: "any file"}
_PNG_START = b"\x89PNG\r\n\x1a\n"
# Everything of ASCII that a text has no use for: a file with one of these is not text.
_CONTROLS = re.compile(rb"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")
# Where the end of a PDF or PNG must stand; some writers add bytes after it.
_TAIL = 2048


class FileTooLarge(PlatformError):
    """The file has more bytes than are taken."""

    code = "file_too_large"

    def __init__(self) -> None:
        super().__init__(f"a file may have at most {MAX_BYTES // (1024 * 1024)} MB")


class FileTypeRefused(PlatformError):
    """The content is of no type that is taken here, whatever its name says."""

    code = "file_type_refused"

    def __init__(self, allowed: frozenset[str], why: str = "") -> None:
        kinds = ", ".join(sorted(_WORDS[kind] for kind in allowed))
        super().__init__(f"{why or 'the content is of no type that is taken here'}; taken are: {kinds}")


def media_type_of(content: bytes, name: str, allowed: frozenset[str] = DOCUMENTS) -> str:
    """The media type that the content has. The name only tells CSV from other text.

    Raises FileTooLarge, or FileTypeRefused for what is empty, cut off or not in `allowed`.
    """
    if len(content) > MAX_BYTES:
        raise FileTooLarge
    found = (BYTES if content else None) if allowed == ANYTHING else _by_content(content, name)
    if found is None or found not in allowed:
        raise FileTypeRefused(allowed, "" if content else "the file is empty")
    return found


def _by_content(content: bytes, name: str) -> str | None:
    tail = content[-_TAIL:]
    if content.startswith(b"%PDF-"):
        return PDF if b"%%EOF" in tail else None
    if content.startswith(_PNG_START):
        return PNG if content[12:16] == b"IHDR" and b"IEND" in tail else None
    if content.startswith(b"\xff\xd8\xff"):
        return JPEG if b"\xff\xd9" in content[3:] else None
    if not content or _CONTROLS.search(content):
        return None
    try:
        content.decode("utf-8")
    except UnicodeDecodeError:
        return None
    return CSV if name.lower().endswith(".csv") else PLAIN


def clean_name(name: str, media_type: str) -> str:
    r"""A name without folders, control characters and tricks of direction, ending as its type does.

    "../../a\\b/Scan.exe" of a PDF becomes "Scan.exe.pdf"; a name of which nothing is left becomes "file.pdf".
    """
    last = re.split(r"[/\\]", unicodedata.normalize("NFC", name))[-1]
    # Categories C* are controls, formats (which turn text around), surrogates, private use and unassigned.
    shown = "".join(" " if character.isspace() else character for character in last)
    shown = "".join(character for character in shown if unicodedata.category(character)[0] != "C")
    shown = re.sub(r'[<>:"|?*]', "_", " ".join(shown.split())).strip(". ")
    suffixes = _SUFFIXES[media_type]
    stem, suffix = PurePosixPath(shown).stem, PurePosixPath(shown).suffix
    if suffixes and suffix.lower() not in suffixes:
        stem, suffix = shown, suffixes[0]
    if not suffixes:
        stem, suffix = (stem, suffix) if len(suffix) <= _MAX_SUFFIX else (shown, "")
    return f"{(stem or 'file')[: MAX_NAME - len(suffix)]}{suffix}"
