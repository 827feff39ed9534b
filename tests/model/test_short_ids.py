"""Ids that a person can say: which words they get, what is shown of them, and what they never look like."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dispatch_mcp import model
from dispatch_mcp.model import run_refs, short_ids
from dispatch_mcp.text import redaction

NUMBER = "3f2a7c90b1d2e4a53f2a7c90b1d2e4a5"
NUMBERS = st.text("0123456789abcdef", min_size=32, max_size=32)


@pytest.mark.parametrize(
    ("title", "short"),
    [
        ("Shop payments", "shop-payments-3f2a"),
        ("Add a tide table to the harbour module", "add-tide-table-3f2a"),
        ("Please can you fix the login", "fix-login-3f2a"),
        ("Füge eine Gezeitentabelle hinzu", "fuge-eine-3f2a"),
        ("To be or not", "not-3f2a"),
        ("The", "the-3f2a"),
        ("internationalisierungsframeworkfassade", "internationalisierungsfr-3f2a"),
        ("支払いを追加", "3f2a7c90"),
        ("", "3f2a7c90"),
    ],
)
def test_an_id_shows_the_telling_words_of_a_title_and_four_digits(title: str, short: str) -> None:
    assert short_ids.short(short_ids.compose(title, NUMBER)) == short


@pytest.mark.parametrize("title", ["Rotate the key", "sk ant", "SK live", "xoxb", "Key", "key: sk-live"])
def test_no_id_looks_like_a_key_that_would_be_taken_out_of_answers(title: str) -> None:
    whole = short_ids.compose(title, NUMBER)
    assert whole.endswith(NUMBER)
    assert redaction.Redactor().redact(f"runs/{whole}/brief.md") == f"runs/{whole}/brief.md"


@given(title=st.text(max_size=200), number=NUMBERS, fallback=st.text(max_size=20))
def test_every_id_names_a_folder_and_a_ref_and_is_found_by_its_short_form(
    title: str, number: str, fallback: str
) -> None:
    whole = short_ids.compose(title, number, fallback)
    assert run_refs.safe_part(whole) == whole
    assert whole.startswith(short_ids.short(whole))
    assert whole.endswith(number)
    assert short_ids.is_whole(whole) or whole == number
    assert redaction.Redactor().redact(whole) == whole


@given(title=st.text(max_size=400))
def test_a_title_is_one_line_that_fits_a_list(title: str) -> None:
    line = short_ids.first_words(title)
    assert len(line) <= short_ids.MOST_TITLE
    assert "\n" not in line


@pytest.mark.parametrize(
    ("text", "title"),
    [
        ("Add payments. Then tell the team.", "Add payments"),
        ("  Add\n payments ", "Add payments"),
        ("word " * 40, ("word " * 40)[:59].rstrip() + "…"),
        ("x" * 80, "x" * 59 + "…"),
        ("Raise v1.2 to v2", "Raise v1.2 to v2"),
        ("", ""),
    ],
)
def test_a_title_is_the_first_words_of_a_request(text: str, title: str) -> None:
    assert short_ids.first_words(text) == title


def test_what_is_no_id_of_ours_is_shown_as_it_is() -> None:
    for name in ("plan-1", "latest", "RUN", "", "shop-payments-3f2a"):
        assert short_ids.short(name) == name
        assert not short_ids.is_whole(name)
    assert short_ids.compose("Shop", "plan-1") == "plan-1"


def test_another_one_of_the_same_title_and_number_has_another_short_form() -> None:
    names = itertools.islice(short_ids.variants(short_ids.compose("Shop", NUMBER)), 3)
    assert [*map(short_ids.short, names)] == ["shop-3f2a", "shop-2-3f2a", "shop-3-3f2a"]
    assert [*short_ids.variants(NUMBER)] == [NUMBER]


@pytest.mark.parametrize(
    ("plan", "heading"),
    [
        (model.Plan(id="p", tasks=(), title="Payments", request="Add them"), "Payments"),
        (model.Plan(id="p", tasks=(), request="Add them. Now."), "Add them"),
        (model.Plan(id="p", tasks=(model.Task(id="a", do="Write the form"),)), "Write the form"),
        (model.Plan(id="p", tasks=()), ""),
    ],
)
def test_a_plan_is_called_by_its_title_or_its_request_or_its_first_task(plan: model.Plan, heading: str) -> None:
    assert plan.heading == heading


def test_ids_are_short_only_where_an_interface_puts_an_answer_into_words() -> None:
    note = model.Message(run_id=short_ids.compose("Shop", NUMBER), sender="a", recipient="b", kind="warning", text="x")
    assert note.model_dump()["run_id"] == f"shop-{NUMBER}"
    assert note.model_dump(context=str)["run_id"] == "shop-3f2a"
