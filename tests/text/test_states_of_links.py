"""Which kind of change lies between states of links, of what is no file, and of files that nobody could read."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dispatch_mcp.text import file_states
from dispatch_mcp.text.file_states import Kind

OLD = file_states.of_content(b"a = 1\n", "a.py")
NEW = file_states.of_content(b"a = 2\n", "a.py")
BLANK = file_states.of_content(b"a  = 1\n", "a.py")
LARGE, LATER, LARGER = (file_states.of_large(*figures) for figures in ((9, 1), (9, 2), (10, 2)))
HERE, AWAY = file_states.of_link(b"here", OLD), file_states.of_link(b"away", OLD)


@pytest.mark.parametrize(
    ("before", "now", "kind"),
    [
        (OLD, "", Kind.DELETED),
        ("", "", Kind.EDITED),
        (OLD, file_states.SPECIAL, Kind.NO_FILE),
        (OLD, file_states.OUTSIDE, Kind.LINK),
        (OLD, HERE, Kind.LINK),
        ("", HERE, Kind.LINK),
        (HERE, AWAY, Kind.EDITED),
        (HERE, file_states.of_link(b"here", NEW), Kind.EDITED),
        (HERE, file_states.of_link(b"here", BLANK), Kind.BLANKS),
        (HERE, file_states.of_link(b"here", ""), Kind.DELETED),
        (HERE, NEW, Kind.EDITED),
        (LARGE, LATER, Kind.TIME),
        (LARGE, LARGER, Kind.EDITED),
        (OLD, LARGE, Kind.EDITED),
        (LARGE, file_states.of_content(b" \n", "a.py"), Kind.EMPTIED),
    ],
)
def test_a_change_has_the_kind_that_its_ends_show(before: str, now: str, kind: Kind) -> None:
    assert file_states.kind(before, now, "a.py") is kind


@given(st.binary(max_size=60), st.booleans(), st.booleans())
def test_a_mode_alone_is_a_change_of_mode_and_of_nothing_else(data: bytes, was: object, now: object) -> None:
    first, last = (file_states.of_content(data, "a.py", is_executable=bool(mode)) for mode in (was, now))
    assert file_states.same(first, last) is (was == now)
    if was != now:
        assert file_states.kind(first, last, "a.py") is Kind.MODE
