"""Help in whole words at any width, and complaints that say what was probably meant."""

from __future__ import annotations

import io
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dispatch_mcp.cli import help_pages

WORDS = st.lists(st.text("abcdefgh-", min_size=1, max_size=30), min_size=1, max_size=30)


@given(WORDS, st.integers(1, 120), st.integers(0, 8))
def test_no_word_is_broken_and_no_line_is_longer_than_it_must_be(words: list[str], columns: int, depth: int) -> None:
    line = f"{' ' * depth}{' '.join(words)}"
    lines = help_pages.in_columns(line, columns).split("\n")
    assert [word for part in lines for word in part.split()] == words
    for part in lines:
        assert len(part) <= columns or len(part.split()) == 1
        assert part.startswith(" " * depth) or part == line


@given(WORDS)
def test_a_line_stays_as_it_is_where_it_fits_or_no_width_is_known(words: list[str]) -> None:
    line = "  " + "  ".join(words)
    assert help_pages.in_columns(line, 0) == line
    assert help_pages.in_columns(line, len(line)) == line


@pytest.mark.parametrize(
    ("columns", "width"),
    [
        ("80", 79),
        ("1", help_pages.NARROWEST),
        ("31", help_pages.NARROWEST),
        ("9999", help_pages.WIDEST),
        ("0", None),
        ("-5", None),
        ("wide", None),
        ("", None),
    ],
)
def test_the_width_is_what_the_environment_says_within_bounds(
    columns: str, width: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", columns)
    assert help_pages.NARROWEST <= help_pages.width() <= help_pages.WIDEST
    assert width is None or help_pages.width() == width


def parser() -> help_pages.Parser:
    made = help_pages.Parser("tool", description="Does things.", epilog="More.")
    made.add_argument("command", choices=["status", "steer", "trace"])
    made.add_argument("--verbose", action="store_true")
    made.add_argument("--view", choices=[f"v{number}" for number in range(20)])
    made.commands = dict.fromkeys(("status", "steer", "trace"), made)
    return made


@pytest.mark.parametrize(
    ("typed", "words"),
    [
        (["stats"], "there is no 'stats'. Did you mean 'status'?"),
        (["zzz"], "there is no 'zzz'. Choose from: status, steer, trace."),
        (["status", "--view", "q"], "Choose from: v0, v1, v2, v3, v4, v5, v6, v7, v8, v9, v10, v11, …."),
        (["status", "--verbos2"], "unknown: --verbos2. Did you mean '--verbose'?"),
        (["status", "--vieww=x"], "unknown: --vieww=x. Did you mean '--view'?"),
        (["status", "--qq"], "unknown: --qq."),
    ],
)
def test_a_slip_ends_with_2_and_says_what_there_is(
    typed: list[str], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as end:
        parser().read(typed)
    assert end.value.code == 2
    complaint = capsys.readouterr().err
    assert words in complaint
    assert "--help says what there is." in complaint


@pytest.mark.parametrize(("is_terminal", "longest"), [(True, 39), (False, 102)])
def test_a_complaint_breaks_no_word_on_a_narrow_terminal_and_is_one_line_where_a_program_reads_it(
    *, is_terminal: bool, longest: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Screen(io.StringIO):
        def isatty(self) -> bool:
            return is_terminal

    screen = Screen()
    monkeypatch.setattr(sys, "stderr", screen)
    monkeypatch.setenv("COLUMNS", "40")
    with pytest.raises(SystemExit):
        parser().read(["stats"])
    assert "there is no 'stats'. Did you mean 'status'?" in " ".join(screen.getvalue().split())
    assert max(map(len, screen.getvalue().splitlines())) == longest


def test_what_is_right_is_read() -> None:
    options = parser().read(["steer", "--view", "v3"])
    assert (options.command, options.view, options.verbose) == ("steer", "v3", False)
    assert parser().options() == ["--help", "--verbose", "--view"]


def test_examples_stand_before_the_exit_codes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    made = help_pages.Parser("tool", description="Does things.", epilog="exit codes: 0 or 1")
    made.examples = ("status --all",)
    page = made.format_help()
    assert page.index("  dispatch-mcp status --all\n") < page.index("exit codes")


@pytest.mark.parametrize("columns", ["35", "80"])
def test_commands_stand_beside_their_texts_or_above_them(columns: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", columns)
    made = help_pages.Parser("tool", description="Does things.", epilog="More.")
    made.groups = {"Runs": {"status": "Says where runs stand.", "trace": "Shows one."}}
    lines = made.format_help().splitlines()
    assert "Runs:" in lines
    beside = [line for line in lines if line.startswith("  status") and "Says" in line]
    assert len(beside) == (columns == "80")


@pytest.mark.parametrize(("text", "sentence"), [("shows runs", "Shows runs."), ("", "."), ("MCP", "MCP.")])
def test_a_help_text_is_a_sentence(text: str, sentence: str) -> None:
    assert help_pages.sentence(text) == sentence
