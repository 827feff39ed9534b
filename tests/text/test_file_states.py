"""What lies between two states of a file."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dispatch_mcp.text import file_states
from dispatch_mcp.text.file_states import Kind

TEXT = b"def f():\n    return 1\n"


def state(data: bytes | None, path: str = "a.py") -> str:
    return "" if data is None else file_states.of_content(data, path)


@pytest.mark.parametrize(
    ("before", "now", "kind", "path"),
    [
        (TEXT, b"def f():\n    return 2\n", Kind.EDITED, "a.py"),
        (TEXT, TEXT + b"\n", Kind.BLANKS, "a.py"),
        (TEXT, b"\n" + TEXT, Kind.BLANKS, "a.py"),
        (TEXT, TEXT.replace(b"\n", b"\r\n"), Kind.BLANKS, "a.py"),
        (TEXT, TEXT.replace(b"\n", b"  \n"), Kind.BLANKS, "a.py"),
        (TEXT, TEXT.rstrip(), Kind.BLANKS, "a.py"),
        (TEXT, b"\xef\xbb\xbf" + TEXT, Kind.BLANKS, "a.py"),
        (TEXT, TEXT.replace(b"return 1", b"return  1"), Kind.BLANKS, "a.py"),
        (TEXT, TEXT.replace(b"return 1", "return 1\u200b".encode()), Kind.BLANKS, "a.py"),
        (TEXT, TEXT.replace(b"    return", b"return"), Kind.EDITED, "a.py"),
        (TEXT, TEXT.replace(b"    return", b"return"), Kind.BLANKS, "a.js"),
        (b"all:\n\tcc\n", b"all:\n        cc\n", Kind.EDITED, "GNUmakefile"),
        (b"alot", b"a lot", Kind.EDITED, "a.txt"),
        (TEXT, b"", Kind.EMPTIED, "a.py"),
        (TEXT, b" \n\t", Kind.EMPTIED, "a.py"),
        (b"", b"\n", Kind.BLANKS, "a.py"),
        (b"", TEXT, Kind.EDITED, "a.py"),
        (TEXT, None, Kind.DELETED, "a.py"),
        (None, TEXT, Kind.EDITED, "a.py"),
        (None, b"\n", Kind.EMPTY, "a.py"),
        (None, b"", Kind.EDITED, "pkg/__init__.py"),
        (b"\0a  b", b"\0a b", Kind.EDITED, "a.png"),
    ],
)
def test_the_kind_of_a_change_follows_from_what_means_something(
    before: bytes | None, now: bytes | None, kind: Kind, path: str
) -> None:
    assert file_states.kind(state(before, path), state(now, path), path) is kind


LINK = file_states.of_link(b"b.py", state(TEXT))


@pytest.mark.parametrize(
    ("before", "now", "kind"),
    [
        (state(TEXT), LINK, Kind.LINK),
        ("", LINK, Kind.LINK),
        (state(TEXT), file_states.OUTSIDE, Kind.LINK),
        (LINK, file_states.of_link(b"c.py", state(TEXT)), Kind.EDITED),
        (LINK, file_states.of_link(b"b.py", state(b"other")), Kind.EDITED),
        (LINK, file_states.of_link(b"b.py", state(TEXT + b"\n")), Kind.BLANKS),
        (LINK, file_states.of_link(b"b.py", ""), Kind.DELETED),
        (LINK, "", Kind.DELETED),
        (state(TEXT), file_states.SPECIAL, Kind.NO_FILE),
        (state(TEXT), file_states.of_content(TEXT, "a.py", is_executable=True), Kind.MODE),
        (file_states.of_large(1 << 30, 1), file_states.of_large(1 << 30, 2), Kind.TIME),
        (file_states.of_large(1 << 30, 1), file_states.of_large(2 << 30, 2), Kind.EDITED),
        (file_states.of_large(1 << 30, 1), state(b""), Kind.EMPTIED),
        (state(TEXT).partition(" ~")[0], state(TEXT + b"\n"), Kind.EDITED),
    ],
)
def test_links_modes_and_large_files_have_kinds_of_their_own(before: str, now: str, kind: Kind) -> None:
    assert file_states.kind(before, now, "a.py") is kind


@given(
    st.lists(st.text("ab (){};=", max_size=8), max_size=6),
    st.sampled_from(["\r\n", "\n\n", " \n", "\r"]),
    st.sampled_from(["a.txt", "a.js", "a.py"]),
)
def test_no_choice_of_line_ends_and_blank_lines_is_an_edit(lines: list[str], ending: str, path: str) -> None:
    before = state("\n".join(lines).encode(), path)
    now = state(ending.join(lines).encode() + ending.encode(), path)
    assert file_states.same(before, now) or file_states.kind(before, now, path) is Kind.BLANKS


@given(st.binary(max_size=40), st.booleans())
def test_a_state_is_the_same_as_itself_also_as_an_earlier_build_noted_it(data: bytes, executable: bool) -> None:  # noqa: FBT001
    now = file_states.of_content(data, "a.py", is_executable=executable)
    earlier = now.partition(" ~")[0] + " x" * executable
    assert file_states.same(now, now)
    assert file_states.same(earlier, now)
    assert not file_states.same(now, file_states.of_content(data + b"!", "a.py", is_executable=executable))


def test_states_differ_only_where_both_are_of_something_that_was_read() -> None:
    one, other = (file_states.of_content(data, "a.py") for data in (b"x = 1\n", b"x = 2\n"))
    assert file_states.differ(one, other)
    assert file_states.differ("", one)
    assert not file_states.differ(one, one)
    for before, now in ((one, file_states.UNREAD), (file_states.UNREAD, one), (file_states.UNREAD, "")):
        assert not file_states.differ(before, now)
