"""Ids as everybody is shown them, whatever is no id of ours as it is."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dispatch_mcp.text import short_forms

NUMBER = "0123456789abcdef" * 2


@pytest.mark.parametrize(
    ("whole", "short"),
    [
        (f"count-the-apples-{NUMBER}", "count-the-apples-0123"),
        (f"a-2-{NUMBER}", "a-2-0123"),
        (NUMBER, "01234567"),
        (f"Apples-{NUMBER}", f"Apples-{NUMBER}"),
        (f"-{NUMBER}", f"-{NUMBER}"),
        (NUMBER[:-1], NUMBER[:-1]),
        (f"{NUMBER}\n", f"{NUMBER}\n"),
        ("latest", "latest"),
        ("", ""),
    ],
)
def test_an_id_is_shown_by_its_words_and_first_digits(whole: str, short: str) -> None:
    assert short_forms.short(whole) == short


@given(st.from_regex(r"[a-z0-9]{1,9}(-[a-z0-9]{1,9}){0,3}-[0-9a-f]{32}", fullmatch=True))
def test_the_short_form_begins_the_id_and_is_its_own(whole: str) -> None:
    short = short_forms.short(whole)
    assert whole.startswith(short)
    assert short_forms.short(short) == short
