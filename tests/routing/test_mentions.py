"""What a request mentions in quotation marks is told from what it is about."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dispatch_mcp.routing import mentions

AROUND = "The headline of our article {} wraps badly on tablets"


@pytest.mark.parametrize(
    "mention",
    [
        '"Error budgets"',
        "'Error budgets'",
        "„Fehler“",
        "“Error budgets”",
        "\u2018Error\u2019",
        "«Erreur»",
        "「エラー」",
    ],
)
def test_a_name_or_title_in_quotation_marks_is_a_mention(mention: str) -> None:
    text = AROUND.format(mention)
    [(start, end)] = mentions.ranges(text)
    assert text[start:end] == mention
    assert mentions.without(text) == AROUND.format(" " * len(mention))


@pytest.mark.parametrize(
    "text",
    [
        "Don't touch the user's page, it isn't ours",
        '"Fix the login of the shop"',
        "Run `make check` and tell me",
        "The 5' 6\" field is cut off",
        'He said "nothing\nmuch" twice in the long report about it',
        f"Summarise this: '{'word ' * 30}' please",
    ],
)
def test_apostrophes_code_whole_texts_and_long_passages_are_no_mentions(text: str) -> None:
    assert mentions.ranges(text) == ()
    assert mentions.without(text) == text


@given(st.text(max_size=300))
def test_blanks_keep_every_other_character_where_it_is(text: str) -> None:
    blank = mentions.without(text)
    assert len(blank) == len(text)
    inside = {at for start, end in mentions.ranges(text) for at in range(start, end)}
    assert all(blank[at] == (" " if at in inside else text[at]) for at in range(len(text)))
