"""Words with places: what may stand in them, and that what is filled in stays what it is."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.correspondence import templates
from core.correspondence.letters import written
from core.correspondence.templates import DEFAULTS, KINDS, MAX_BODY, MAX_SUBJECT, Kind, Template
from core.errors import Invalid

LINK = "https://books.test/i/abc"


def values(kind: Kind, **changes: str) -> dict[str, str]:
    return {name: name.upper() for name in templates.variables(kind)} | {"link": LINK} | changes


@pytest.mark.parametrize("kind", KINDS)
def test_the_usual_words_are_good_words(kind: Kind) -> None:
    assert templates.check(kind, DEFAULTS[kind]) == DEFAULTS[kind]
    made = written(DEFAULTS[kind], values(kind))
    assert "{{" not in made.subject + made.text
    assert LINK in made.text


@pytest.mark.parametrize(
    ("subject", "body", "field"),
    [
        pytest.param("{{nobody}}", "x", "subject", id="unknown in the subject"),
        pytest.param("x", "{{ seller.password }}", "body", id="an expression"),
        pytest.param("x", "{{seller}", "body", id="not closed"),
        pytest.param("x", "seller}}", "body", id="not opened"),
        pytest.param("x", "{{}}", "body", id="no name"),
        pytest.param("x", "{{paid}}", "body", id="of another kind"),
        pytest.param(" ", "x", "subject", id="no subject"),
        pytest.param("x", "\n", "body", id="no text"),
        pytest.param("x" * (MAX_SUBJECT + 1), "x", "subject", id="long subject"),
        pytest.param("x", "x" * (MAX_BODY + 1), "body", id="long text"),
    ],
)
def test_what_cannot_be_filled_in_is_refused_when_it_is_saved(subject: str, body: str, field: str) -> None:
    with pytest.raises(Invalid) as refused:
        templates.check("invoice", Template(subject=subject, body=body))
    assert refused.value.field == field


def test_words_of_the_longest_size_are_taken() -> None:
    longest = Template(subject="s" * MAX_SUBJECT, body="b" * MAX_BODY)
    assert templates.check("invoice", longest) == longest


def test_a_subject_is_one_line() -> None:
    checked = templates.check("invoice", Template(subject="a\r\nBcc: everybody@x.test", body="{{link}}"))
    assert checked.subject == "a Bcc: everybody@x.test"
    made = written(checked, values("invoice", customer="x"))
    assert "\n" not in made.subject
    named = written(Template(subject="{{customer}}", body="x"), values("invoice", customer="a\nTo: b@x.test"))
    assert named.subject == "a To: b@x.test"


@given(st.text(max_size=60))
def test_what_is_filled_in_is_never_read_as_words(name: str) -> None:
    body = templates.fill("[{{customer}}]", {"customer": name})
    assert body == f"[{name}]"


def test_a_customer_cannot_write_into_the_mail() -> None:
    name = "{{number}} <script>alert(1)</script> <a href='https://evil.test'>x</a>"
    made = written(Template(subject="s", body="Dear {{customer}}, {{link}}"), values("invoice", customer=name))
    assert "Dear {{number}} <script>" in made.text
    assert "<script" not in made.html
    assert made.html.count("<a ") == 1
    assert f'<a href="{LINK}"' in made.html


def test_a_mail_always_has_the_link() -> None:
    made = written(Template(subject="s", body="Hello"), values("invoice"), "In a hurry")
    assert made.text == f"In a hurry\n\nHello\n\n{LINK}\n"


@pytest.mark.parametrize(
    ("days", "kind"), [(-90, "reminder_before"), (-1, "reminder_before"), (0, "reminder_due"), (1, "reminder_after")]
)
def test_the_day_chooses_the_words(days: int, kind: str) -> None:
    assert templates.reminder_kind(days) == kind
