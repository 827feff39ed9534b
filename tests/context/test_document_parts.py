"""A long document within a budget: its outline, and what a task is about."""

from __future__ import annotations

import growth
from hypothesis import given
from hypothesis import strategies as st

from dispatch_mcp.context import context_query
from dispatch_mcp.context.documents import document_parts
from dispatch_mcp.text import token_count

LINES = "\n".join(f"Line {at} of this section says something." for at in range(30))
GUIDE = (
    "Opening words.\n\n"
    + "\n\n".join(f"## {name}\n\n{LINES}" for name in ("Caches", "Sessions", "Passwords", "Indexes"))
    + "\n\n```sh\n# no heading\nls\n```\n"
)
TASK = context_query.stems("hash passwords with a salt")


def test_what_fits_is_given_whole() -> None:
    assert document_parts.extract("# One\n\ntwo\n", 100, TASK) == ("# One\n\ntwo", True)


def test_a_long_document_comes_as_its_outline_and_the_sections_of_the_task() -> None:
    text, is_whole = document_parts.extract(GUIDE, 500, TASK)
    assert not is_whole
    assert text.startswith("Sections: Caches; Sessions; Passwords; Indexes")
    assert f"## Passwords\n\n{LINES}" in text
    assert "## Caches" not in text
    assert document_parts.LEFT_OUT.format("Indexes") in text
    assert "Opening words." in text


def test_sections_that_say_little_of_the_task_are_left_out_though_there_is_room_where_that_is_wanted() -> None:
    text, is_whole = document_parts.extract(GUIDE, 1_000, context_query.stems("hash passwords"), least=0.25)
    assert not is_whole
    assert [name for name in ("Caches", "Sessions", "Passwords", "Indexes") if f"## {name}" in text] == ["Passwords"]
    assert "## Caches" in document_parts.extract(GUIDE, 1_000, TASK).text
    assert "## Caches" in document_parts.extract(GUIDE, 1_000, context_query.stems("zebra"), least=0.25).text


def test_the_time_for_an_extract_grows_with_the_document_and_no_faster() -> None:
    def extract(sections: int) -> None:
        document = "\n\n".join(f"## Rule {at}\n\nKeep to rule {at} of passwords." for at in range(sections))
        document_parts.extract(document, 400, TASK)

    assert growth.is_at_most(12, extract, 500, 3_000)


def test_sections_stand_in_their_own_order_and_gaps_are_named() -> None:
    text, _ = document_parts.extract(GUIDE, 900, context_query.stems("passwords and caches"))
    assert text.index("## Caches") < text.index(document_parts.LEFT_OUT.format("Sessions")) < text.index("## Passwords")


def test_underlined_headings_are_headings_and_lines_in_code_are_none() -> None:
    text, _ = document_parts.extract(f"Caches\n======\n\n{LINES}\n\nPasswords\n---------\n\n{LINES}", 500, TASK)
    assert text.startswith("Sections: Caches; Passwords")
    assert "no heading" not in document_parts.extract(GUIDE, 500, TASK).text.split("\n")[0]


def test_of_one_long_section_the_head_is_given_and_the_rest_is_named() -> None:
    text, is_whole = document_parts.extract("\n".join([LINES] * 20), 200, TASK)
    assert not is_whole
    assert text.startswith("Line 0 of")
    assert text.endswith(document_parts.LEFT_OUT.format("the rest"))


_BLOCKS = st.lists(
    st.sampled_from(["# A", "## B b", "text of passwords", "```", "Title\n=====", "", LINES]), max_size=40
)


@given(_BLOCKS.map("\n".join), st.integers(40, 2_000))
def test_no_extract_has_more_tokens_than_its_room(text: str, room: int) -> None:
    extract = document_parts.extract(text, room, TASK)
    assert token_count.count(extract.text) <= room
    assert extract.is_whole == (token_count.count(text.strip()) <= room)
