"""Files are what their content says, sealed on disk, and never half there."""

from __future__ import annotations

import os
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from uuid import UUID

import pytest
from sqlalchemy import text
from sqlalchemy.orm import Session

from core import files
from core.connections.sealing import KeyRing
from core.database import Database
from core.errors import NotFound
from core.files import Cabinet, Kept, StoredFile, cabinet
from core.ids import new_id
from tests.builders import MASTER_KEY, MASTER_KEYS, NOW
from tests.papers import JPEG, PDF, png


@pytest.fixture
def kept(tmp_path: Path) -> Cabinet:
    return Cabinet(tmp_path / "files", KeyRing.parse(MASTER_KEYS))


@pytest.fixture
def database(file_database_url: str) -> Iterator[Database]:
    made = Database("postgresql+psycopg://" + file_database_url.split("://", 1)[1], pool_size=2)
    yield made
    made.dispose()


@pytest.fixture
def owner(database: Database) -> UUID:
    identity = new_id()
    with database.session() as session:
        session.execute(
            text("INSERT INTO users (id, email, name, role, password_hash) VALUES (:id, :email, 'A', 'seller', '-')"),
            {"id": identity, "email": f"{identity}@files.test"},
        )
    return identity


def on_disk(kept: Cabinet) -> list[Path]:
    return [path for path in kept.folder.rglob("*") if path.is_file()]


@pytest.mark.parametrize(
    ("content", "media_type"),
    [
        pytest.param(PDF, "application/pdf", id="PDF"),
        pytest.param(png(), "image/png", id="PNG"),
        pytest.param(JPEG, "image/jpeg", id="JPEG"),
        pytest.param("Größe;1\n".encode(), "text/plain", id="text"),
    ],
)
def test_the_type_is_what_the_content_says_and_not_the_name(content: bytes, media_type: str) -> None:
    assert files.media_type_of(content, "holiday.gif", files.PAPERS) == media_type


def test_a_text_is_csv_when_its_name_says_so() -> None:
    assert files.media_type_of(b"a,b\n1,2\n", "Book.CSV", files.PAPERS) == "text/csv"


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(b"", id="empty"),
        pytest.param(b"MZ\x90\x00\x03", id="a program"),
        pytest.param(b"GIF89a\x01\x00\x01\x00", id="another picture"),
        pytest.param(b"PK\x03\x04\x14\x00", id="an archive"),
        pytest.param(PDF[:40], id="a PDF cut off"),
        pytest.param(png()[:-12], id="a PNG cut off"),
        pytest.param(JPEG[:-2], id="a JPEG cut off"),
        pytest.param(b"\n" + PDF + b"\x00", id="a PDF behind something else"),
        pytest.param(b"caf\xe9", id="no UTF-8"),
        pytest.param(b"plain", id="text where a document is wanted"),
    ],
)
def test_what_is_no_document_is_refused_whatever_its_name(content: bytes) -> None:
    with pytest.raises(files.FileTypeRefused, match="JPEG, PDF, PNG"):
        files.media_type_of(content, "contract.pdf")


def test_one_byte_too_many_is_refused_and_the_limit_itself_is_not(kept: Cabinet) -> None:
    full = PDF[:-6] + b"x" * (files.MAX_BYTES - len(PDF)) + b"%%EOF\n"
    assert len(full) == files.MAX_BYTES
    assert kept.keep("a.pdf", full).size == files.MAX_BYTES
    with pytest.raises(files.FileTooLarge, match="5 MB"):
        kept.keep("a.pdf", b"x" + full)


@pytest.mark.parametrize(
    ("given", "cleaned"),
    [
        pytest.param("Scan 1.pdf", "Scan 1.pdf", id="a good name stays"),
        pytest.param("../../etc/passwd", "passwd.pdf", id="no folders"),
        pytest.param("C:\\Papers\\GST.PDF", "GST.PDF", id="no drives"),
        pytest.param("invoice.exe", "invoice.exe.pdf", id="ends as its type does"),
        pytest.param("in\u202efdp.exe", "infdp.exe.pdf", id="text is not turned around"),
        pytest.param("a\r\nSet-Cookie: b.pdf", "a Set-Cookie_ b.pdf", id="no line of a header"),
        pytest.param("\x00\x1f", "file.pdf", id="nothing left"),
        pytest.param(".pdf", "pdf.pdf", id="no hidden file"),
        pytest.param("प" * 300 + ".pdf", "प" * 116 + ".pdf", id="a long name is cut before its end"),
    ],
)
def test_a_name_is_safe_to_show_and_to_save_under(given: str, cleaned: str) -> None:
    assert files.clean_name(given, "application/pdf") == cleaned


def test_what_was_put_in_comes_out_and_lies_sealed_on_disk(kept: Cabinet, database: Database, owner: UUID) -> None:
    with database.session() as session:
        stored = kept.put(session, owner, "GST certificate.pdf", PDF, NOW)
    with database.session() as session:
        assert kept.open(session, stored.id) == (stored, PDF)
        assert files.describe(session, stored.id) == stored
    (path,) = on_disk(kept)
    assert b"Catalog" not in path.read_bytes()
    assert kept.folder.stat().st_mode & 0o077 == 0


def test_the_same_content_is_two_files_and_lies_there_once(kept: Cabinet, database: Database, owner: UUID) -> None:
    with database.session() as session:
        first, second = (kept.put(session, owner, name, PDF, NOW) for name in ("a.pdf", "b.pdf"))
    assert first.sha256 == second.sha256
    assert first.id != second.id
    assert len(on_disk(kept)) == 1


def test_a_file_that_is_not_there_is_not_found(database: Database) -> None:
    with database.session() as session, pytest.raises(NotFound):
        files.describe(session, new_id())


@pytest.mark.parametrize("harm", ["gone", "altered", "another's"])
def test_a_content_that_is_not_what_was_stored_is_not_handed_out(
    kept: Cabinet, database: Database, owner: UUID, harm: str
) -> None:
    with database.session() as session:
        stored = kept.put(session, owner, "a.pdf", PDF, NOW)
    (path,) = on_disk(kept)
    if harm == "gone":
        path.unlink()
    elif harm == "altered":
        sealed = path.read_bytes()
        path.write_bytes(sealed[:-1] + bytes([sealed[-1] ^ 1]))
    else:
        other = kept.keep("b.png", png())
        path.write_bytes((kept.folder / other.sha256[:2] / other.sha256).read_bytes())
    with database.session() as session, pytest.raises(files.FileUnavailable):
        kept.open(session, stored.id)


def test_a_crash_before_the_rename_leaves_nothing_and_no_row(
    kept: Cabinet, database: Database, owner: UUID, monkeypatch: pytest.MonkeyPatch
) -> None:
    def crash(handle: int) -> None:
        raise OSError("the disk is full")

    with monkeypatch.context() as patch, database.session() as session:
        patch.setattr(os, "fsync", crash)
        with pytest.raises(OSError, match="full"):
            kept.put(session, owner, "a.pdf", PDF, NOW)
    assert on_disk(kept) == []
    with database.session() as session:
        assert session.scalar(text("SELECT count(*) FROM files WHERE owner_id = :id"), {"id": owner}) == 0


def test_a_content_is_on_disk_before_its_row_is_written(
    kept: Cabinet, database: Database, owner: UUID, monkeypatch: pytest.MonkeyPatch
) -> None:
    order: list[str] = []
    write_row = cabinet.record

    def record(session: Session, owner_id: UUID, content: Kept, now: datetime) -> StoredFile:
        order.append("row")
        return write_row(session, owner_id, content, now)

    monkeypatch.setattr(os, "fsync", lambda handle: order.append("sync"))
    monkeypatch.setattr(cabinet, "record", record)
    with database.session() as session:
        kept.put(session, owner, "a.pdf", PDF, NOW)
    # The content, its folder, and the folder above.
    assert order == ["sync", "sync", "sync", "row"]


def test_one_person_does_not_fill_the_disk(
    kept: Cabinet, database: Database, owner: UUID, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cabinet, "MAX_OWNER_BYTES", len(PDF) + 1)
    with database.session() as session:
        kept.put(session, owner, "a.pdf", PDF, NOW)
        with pytest.raises(files.FileQuotaReached):
            kept.put(session, owner, "b.pdf", PDF, NOW)


def test_files_are_sealed_again_with_a_new_key_and_open_without_the_old(kept: Cabinet) -> None:
    first = kept.keep("a.pdf", PDF)
    new = "two:" + MASTER_KEY[::-1].replace("=", "")[:43] + "="
    turned = Cabinet(kept.folder, KeyRing.parse(f"{new},{MASTER_KEYS}"))
    turned.keep("b.png", png())
    assert (turned.reseal(), turned.reseal()) == (1, 0)
    alone = Cabinet(kept.folder, KeyRing.parse(new))
    assert alone.read(first.sha256) == PDF
