"""KYC as a life: who hands in, who decides, who may move money, and what the database holds without the code."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from itertools import count
from typing import Any

import psycopg
import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from core import files, kyc
from core.database import Database
from core.errors import Conflict, Forbidden, Invalid, NotFound
from core.identity import Actor, Role, users
from core.ids import new_id
from core.kyc import documents, queries, states
from core.kyc.profile import Profile
from core.migrations.versions import __name__ as versions
from tests.builders import NOW

LATER = NOW + timedelta(hours=1)


@pytest.fixture(scope="module")
def database(file_database_url: str) -> Iterator[Database]:
    made = Database("postgresql+psycopg://" + file_database_url.split("://", 1)[1], pool_size=4)
    yield made
    made.dispose()


def person(database: Database, role: Role = Role.SELLER) -> Actor:
    with database.session() as session:
        return users.register(
            session, email=f"{new_id()}@kyc.test", name="Uma Rao", password_hash="-", role=role, now=NOW
        )


_numbers = count(1)


def profile() -> Profile:
    """A profile whose PAN nobody else in this file has."""
    return Profile(
        legal_name="Uma Traders", constitution="llp", pan=f"AAXFU{next(_numbers):04d}K", account_name="Uma Traders"
    )


def submitted(database: Database, given: Profile | None = None) -> Actor:
    someone = person(database)
    with database.session() as session:
        kyc.submit(session, someone, given or profile(), NOW)
    return someone


def decide(database: Database, operator: Actor, subject: Actor, decision: Any, **more: Any) -> None:
    with database.session() as session:
        kyc.decide(session, operator, subject.id, decision, "looked at everything", LATER, **more)


def state(database: Database, someone: Actor) -> str:
    with database.session() as session:
        return kyc.state_of(session, someone.id).value


def paper(database: Database, someone: Actor, kind: str = "pan_card") -> dict[str, Any]:
    kept = files.Kept(name="scan.pdf", media_type="application/pdf", size=5, sha256="ab" * 32)
    with database.session() as session:
        return documents.add(session, someone, kind, kept, NOW)


def heard(database: Database, room: str) -> list[tuple[str, dict[str, Any]]]:
    with database.session() as session:
        rows = session.execute(text("SELECT name, data FROM outbox WHERE room = :room ORDER BY id"), {"room": room})
        return [(row.name, row.data) for row in rows]


def test_money_moves_only_for_who_is_verified(database: Database) -> None:
    operator, someone = person(database, Role.OPERATOR), person(database)
    for expected in ("not_started", "submitted", "verified", "expired", "submitted", "rejected"):
        if expected == "submitted":
            with database.session() as session:
                kyc.submit(session, someone, profile(), NOW)
        elif expected != "not_started":
            decision = {"verified": "verify", "expired": "expire", "rejected": "reject"}[expected]
            decide(database, operator, someone, decision)
        assert state(database, someone) == expected
        with database.session() as session:
            if expected == "verified":
                kyc.require_verified(session, someone.id)
            else:
                with pytest.raises(kyc.KycRequired, match="KYC"):
                    kyc.require_verified(session, someone.id)


def test_handing_in_again_ends_a_verification(database: Database) -> None:
    operator, someone = person(database, Role.OPERATOR), submitted(database)
    decide(database, operator, someone, "verify")
    with database.session() as session:
        kyc.submit(session, someone, profile(), LATER)
        found = queries.show(session, someone.id)
    assert (found["state"], found["evidence"], found["decided_at"]) == ("submitted", None, None)


def test_every_change_is_told_and_recorded_with_who_and_why(database: Database) -> None:
    operator, someone = person(database, Role.OPERATOR), submitted(database)
    paper(database, someone)
    decide(database, operator, someone, "reject")
    with database.session() as session:
        found = queries.review(session, operator, someone.id)
        audited = session.scalars(
            text("SELECT data ->> 'after' FROM audit_log WHERE subject_id = :id ORDER BY id"), {"id": someone.id}
        ).all()
    assert [(entry["after"], entry["by"], entry["reason"]) for entry in found["history"]] == [
        ("rejected", "operator", "looked at everything"),
        ("submitted", "person", "handed in: PAN card"),
        ("submitted", "person", "handed in"),
    ]
    assert audited == ["submitted", "submitted", "rejected"]
    told = heard(database, f"user:{someone.id}")
    assert [name for name, _ in told] == ["kyc.updated"] * 3 + ["notification.created"]
    assert told[-1][1]["body"] == "looked at everything"
    assert told[-1][1]["url"] == "/kyc"
    assert ("kyc.updated", told[2][1]) in heard(database, "operators")


def test_an_operator_decides_on_what_they_saw(database: Database) -> None:
    operator, someone = person(database, Role.OPERATOR), submitted(database)
    with database.session() as session:
        seen = queries.review(session, operator, someone.id)["version"]
    paper(database, someone)
    with pytest.raises(kyc.KycChanged):
        decide(database, operator, someone, "verify", version=seen)
    decide(database, operator, someone, "verify", version=seen + 1)


def test_nobody_decides_on_themselves_nor_on_the_same_pan(database: Database) -> None:
    given = profile()
    operator, other = person(database, Role.OPERATOR), submitted(database, given)
    with database.session() as session:
        kyc.submit(session, operator, given, NOW)
    for subject in (operator, other):
        with pytest.raises(Forbidden, match="nobody decides"):
            decide(database, operator, subject, "verify")


@pytest.mark.parametrize(
    ("prepare", "decision", "error"),
    [
        ([], "verify", Conflict),
        ([], "expire", Conflict),
        (["submit"], "expire", Conflict),
        (["submit", "verify"], "verify", Conflict),
        (["submit", "reject"], "verify", Conflict),
        (["submit", "reject"], "expire", Conflict),
    ],
)
def test_what_the_state_does_not_allow_is_a_conflict(
    database: Database, prepare: list[str], decision: str, error: type[Exception]
) -> None:
    operator, someone = person(database, Role.OPERATOR), person(database)
    for step in prepare:
        if step == "submit":
            with database.session() as session:
                kyc.submit(session, someone, profile(), NOW)
        else:
            decide(database, operator, someone, step)
    before = state(database, someone)
    with pytest.raises(error):
        decide(database, operator, someone, decision)
    assert state(database, someone) == before


def test_a_decision_needs_a_reason_and_a_person(database: Database) -> None:
    operator, someone = person(database, Role.OPERATOR), submitted(database)
    with database.session() as session:
        for reason in ("  ", "x" * 501):
            with pytest.raises(Invalid, match="reason"):
                kyc.decide(session, operator, someone.id, "verify", reason, NOW)
        with pytest.raises(NotFound):
            kyc.decide(session, operator, new_id(), "verify", "ok", NOW)


def test_a_shared_pan_makes_one_person_of_two_accounts_and_operators_hear_of_it(database: Database) -> None:
    given, operator = profile(), person(database, Role.OPERATOR)
    one, two = submitted(database, given), submitted(database, given)
    stranger = submitted(database)
    with database.session() as session:
        assert kyc.same_person(session, one.id, two.id)
        assert kyc.same_person(session, one.id, one.id)
        assert not kyc.same_person(session, one.id, stranger.id)
        assert not kyc.same_person(session, person(database).id, person(database).id)
        found = queries.review(session, operator, two.id)
        assert [each["id"] for each in found["shared_with"]] == [str(one.id)]
        assert next(each for each in found["checks"] if each["code"] == "shared_pan")["passed"] is False
        # Whose else it is, is nothing for the person.
        assert "shared_pan" not in str(queries.mine(session, two)["checks"])
        told = session.scalar(
            text("SELECT count(*) FROM notifications WHERE kind = 'kyc.shared_pan' AND user_id = :id"),
            {"id": operator.id},
        )
    assert told == 1


def test_a_refused_profile_names_nobody_in_fingerprints_but_still_marks_one_person(database: Database) -> None:
    given, operator = profile(), person(database, Role.OPERATOR)
    one, two = submitted(database, given), submitted(database, given)
    decide(database, operator, one, "reject")
    with database.session() as session:
        assert kyc.numbers(session, one.id) is None
        found = kyc.numbers(session, two.id)
        assert found is not None
        assert found.pan == given.pan
        assert kyc.same_person(session, one.id, two.id)


def test_a_demo_counts_everybody_as_verified_once_and_says_so(database: Database) -> None:
    someone, busy = person(database), submitted(database)
    with database.session() as session:
        assert kyc.welcome(session, someone.id, NOW)
        assert not kyc.welcome(session, someone.id, NOW)
        assert not kyc.welcome(session, busy.id, NOW)
        kyc.require_verified(session, someone.id)
        found = queries.mine(session, someone)
    assert (found["evidence"], found["profile"], found["state"]) == ("demo", None, "verified")
    assert [(entry["by"], entry["reason"]) for entry in found["history"]] == [("platform", "demo installation")]
    assert state(database, busy) == "submitted"
    operator = person(database, Role.OPERATOR)
    decide(database, operator, someone, "expire")
    assert state(database, someone) == "expired"


def test_those_who_were_here_before_the_demo_asked_are_welcomed_in_one_go(database: Database) -> None:
    before = [person(database) for _ in range(3)]
    with database.session() as session:
        assert kyc.welcome_all(session, NOW) >= 3
        assert kyc.welcome_all(session, NOW) == 0
    assert {state(database, someone) for someone in before} == {"verified"}


def test_a_newer_paper_takes_the_place_of_the_older(database: Database) -> None:
    someone, stranger, operator = person(database), person(database), person(database, Role.OPERATOR)
    first, second = paper(database, someone), paper(database, someone)
    paper(database, someone, "bank_statement")
    with database.session() as session:
        found = queries.mine(session, someone)
        assert [each["kind"] for each in found["documents"]] == ["pan_card", "bank_statement"]
        assert found["documents"][0]["id"] == second["id"]
        assert found["missing"] == ["address_proof"]
        assert found["state"] == "not_started"
        for reader in (someone, operator):
            assert documents.file_of(session, reader, _uuid(first["id"])).name == "scan.pdf"
        with pytest.raises(NotFound):
            documents.file_of(session, stranger, _uuid(first["id"]))
        with pytest.raises(Invalid, match="kind"):
            documents.check_kind("selfie")


def _uuid(value: str) -> Any:
    from uuid import UUID

    return UUID(value)


def test_the_queue_is_first_in_first_out_for_those_who_wait_and_for_operators_only(database: Database) -> None:
    operator = person(database, Role.OPERATOR)
    stranger = person(database)
    mine: list[str] = []
    with database.session() as session:
        for minute in range(3):
            someone = users.register(
                session, email=f"{new_id()}@kyc.test", name="Queue Tester", password_hash="-", role=Role.BUYER, now=NOW
            )
            kyc.submit(session, someone, profile(), NOW + timedelta(minutes=minute))
            mine.append(str(someone.id))
        seen: list[str] = []
        cursor = None
        while True:
            page = queries.queue(session, operator, limit=1, cursor=cursor, state="submitted", search="Queue Tester")
            seen += [item["user"]["id"] for item in page["items"]]
            cursor = page["next_cursor"]
            if cursor is None:
                break
        assert seen == mine
        newest = queries.queue(session, operator, search="Queue Tester")["items"]
        assert [item["user"]["id"] for item in newest] == mine[::-1]
        # In a list nobody's whole number is read over a shoulder.
        assert newest[0]["pan"].startswith("•••")
        with pytest.raises(Forbidden):
            queries.queue(session, stranger)
        with pytest.raises(Forbidden):
            queries.review(session, stranger, stranger.id)
        with pytest.raises(NotFound):
            queries.review(session, operator, new_id())


def test_the_code_and_the_database_hold_the_same_moves() -> None:
    import importlib

    migration = importlib.import_module(f"{versions}.0009_kyc")
    assert {state.value: {each.value for each in after} for state, after in states.MOVES.items()} == {
        before: set(afters) for before, afters in migration.MOVES.items()
    }


@pytest.mark.parametrize(
    ("statement", "guard"),
    [
        pytest.param(
            "UPDATE kyc_profiles SET state = 'verified', evidence = 'documents', version = version + 1 "
            "WHERE user_id = :user",
            "kyc_move_is_recorded",
            id="a verification nobody recorded",
        ),
        pytest.param(
            "UPDATE kyc_profiles SET state = 'expired', version = version + 1 WHERE user_id = :user",
            "kyc_move_is_allowed",
            id="a move that there is not",
        ),
        pytest.param(
            "UPDATE kyc_profiles SET pan = 'ABCFU1234K' WHERE user_id = :user",
            "kyc_move_raises_version",
            id="a change behind the operator's back",
        ),
        pytest.param(
            "UPDATE kyc_profiles SET version = version + 1, pan = NULL WHERE user_id = :user",
            "kyc_submitted_is_complete",
            id="a profile without a PAN",
        ),
        pytest.param(
            "UPDATE kyc_profiles SET version = version + 1, decided_by = user_id WHERE user_id = :user",
            "kyc_nobody_decides_on_themselves",
            id="deciding on oneself",
        ),
        pytest.param(
            "UPDATE kyc_profiles SET version = version + 1, state = 'verified' WHERE user_id = :user",
            "kyc_verified_has_evidence",
            id="verified for no reason",
        ),
        pytest.param("UPDATE kyc_history SET reason = 'x' WHERE user_id = :user", "append-only", id="another history"),
        pytest.param("DELETE FROM kyc_history WHERE user_id = :user", "append-only", id="no history"),
        pytest.param("TRUNCATE kyc_history", "append-only", id="nobody's history"),
    ],
)
def test_the_database_refuses_by_itself(database: Database, statement: str, guard: str) -> None:
    someone = submitted(database)
    with pytest.raises(DBAPIError) as refused, database.session() as session:
        session.execute(text(statement), {"user": someone.id} if ":user" in statement else {})
    assert isinstance(refused.value.orig, psycopg.Error)
    assert guard in (refused.value.orig.diag.constraint_name or refused.value.orig.diag.message_primary or "")


def test_a_service_has_no_kyc(database: Database) -> None:
    service = replace(person(database, Role.OPERATOR), is_service=True)
    with database.session() as session:
        with pytest.raises(Forbidden):
            kyc.submit(session, service, profile(), NOW)
        kept = files.Kept(name="scan.pdf", media_type="application/pdf", size=5, sha256="ab" * 32)
        with pytest.raises(Forbidden):
            documents.add(session, service, "pan_card", kept, NOW)
