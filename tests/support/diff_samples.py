"""Changes for tests: short ones written down, and strategies for any."""

from __future__ import annotations

from hypothesis import strategies as st

from dispatch_mcp.text import unified_diff

LINE = st.text(st.characters(blacklist_characters="\n\r", blacklist_categories=["Cs"]), max_size=30)
HUNK = st.lists(st.tuples(st.sampled_from(" +-"), LINE), min_size=1, max_size=12).map(
    lambda lines: unified_diff.Hunk(3, 5, "", tuple(mark + text for mark, text in lines))
)
NAME = st.text(st.characters(blacklist_categories=["Cs", "Cc"]), min_size=1, max_size=20).filter(
    lambda name: name.strip() == name and name != "dev/null"
)
CHANGE = st.builds(
    lambda name, hunks: unified_diff.FileChange(name, name, "modified", tuple(hunks)),
    NAME,
    st.lists(HUNK, min_size=1, max_size=4),
)
CHANGES = st.lists(CHANGE, min_size=1, max_size=5, unique_by=lambda change: change.path)


def change(path: str, *lines: str, kind: unified_diff.Kind = "modified", start: int = 1) -> unified_diff.FileChange:
    """Returns a change of one file with one hunk; each line begins with its mark."""
    return unified_diff.FileChange(path, path, kind, (unified_diff.Hunk(start, start, "", lines),) if lines else ())


def new_file(path: str, *lines: str) -> unified_diff.FileChange:
    """Returns a new file with these lines."""
    hunk = unified_diff.Hunk(0, 1, "", tuple(f"+{line}" for line in lines))
    return unified_diff.FileChange(path, path, "new", (hunk,))


def diff(*changes: unified_diff.FileChange) -> unified_diff.Diff:
    """Returns a change of several files."""
    return unified_diff.Diff(changes)


def lines(change: unified_diff.Diff) -> set[tuple[str, unified_diff.Numbered]]:
    """Returns every line of a change with its file and number."""
    return {
        (file.path, line)
        for file in change.files
        for hunk in file.hunks
        for line in unified_diff.lines_with_numbers(hunk)
    }
