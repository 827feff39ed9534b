"""What reaches a terminal or a pipe."""

from __future__ import annotations

import io
import json
import sys
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dispatch_mcp.cli import console


@given(st.text())
@pytest.mark.promise("S12")
def test_no_text_brings_control_sequences_to_a_terminal(text: str) -> None:
    plain = console.plain(text).plain
    assert not [letter for letter in plain if ord(letter) < 32 and letter not in "\n\t"]
    assert "\x1b" not in plain
    assert "\x9b" not in plain


def test_markup_in_a_text_is_text(capsys: pytest.CaptureFixture[str]) -> None:
    console.say("[bold]not bold[/bold] :smile:")
    assert capsys.readouterr().out == "[bold]not bold[/bold] :smile:\n"


def test_a_long_line_is_not_broken_for_a_pipe(capsys: pytest.CaptureFixture[str]) -> None:
    console.say("word " * 200)
    assert capsys.readouterr().out.count("\n") == 1


def test_a_pipe_gets_every_row_on_a_line_of_its_own(capsys: pytest.CaptureFixture[str]) -> None:
    console.show(("task", "goal"), [("a", "x" * 500), ("b", "short")])
    heading, first, second = capsys.readouterr().out.splitlines()
    assert heading.split() == ["task", "goal"]
    assert first.split() == ["a", "x" * 500]
    assert second.split() == ["b", "short"]


def test_a_cell_cannot_break_out_of_its_row(capsys: pytest.CaptureFixture[str]) -> None:
    console.show(("task",), [("one\x1b[2Jtwo",)])
    assert "\x1b" not in capsys.readouterr().out


def test_a_note_goes_beside_the_result(capsys: pytest.CaptureFixture[str]) -> None:
    console.note("by the way")
    seen = capsys.readouterr()
    assert (seen.out, seen.err) == ("", "by the way\n")


def test_what_is_said_beside_a_json_document_leaves_stdout_to_it(capsys: pytest.CaptureFixture[str]) -> None:
    with console.beside_json(as_json=True):
        console.say("for people")
    console.say("afterwards")
    seen = capsys.readouterr()
    assert (seen.out, seen.err) == ("afterwards\n", "for people\n")


def test_stdout_is_back_even_when_the_block_fails(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(ZeroDivisionError), console.beside_json(as_json=True):
        raise ZeroDivisionError
    console.say("afterwards")
    assert capsys.readouterr().out == "afterwards\n"


@pytest.mark.parametrize("encoding", ["utf-8", "UTF8", "ascii", "cp1252"])
@pytest.mark.parametrize("write", [console.emit, console.line], ids=["document", "line"])
def test_json_can_be_read_whatever_stdout_can_encode(
    monkeypatch: pytest.MonkeyPatch, encoding: str, write: object
) -> None:
    raw = io.BytesIO()
    stream = io.TextIOWrapper(raw, encoding=encoding)
    monkeypatch.setattr(sys, "stdout", stream)
    value = {"text": "表 → ü", "list": [1, 2.5, None]}
    assert callable(write)
    write(value)
    stream.flush()
    text = raw.getvalue().decode(encoding)
    assert json.loads(text) == value
    assert ("表" in text) == (encoding.lower().replace("-", "") == "utf8")


def test_a_json_line_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    console.line({"text": "two\nlines", "list": [1, 2]})
    assert capsys.readouterr().out == '{"text":"two\\nlines","list":[1,2]}\n'


def test_states_have_their_colour_and_other_cells_none() -> None:
    table = console.table(("state", "task"), [("failed", "failed task"), ("succeeded", "b")])
    states = [str(getattr(cell, "style", "")) for cell in table.columns[0].cells]
    tasks = [str(getattr(cell, "style", "")) for cell in table.columns[1].cells]
    assert states == [console.STYLES["failed"], console.STYLES["succeeded"]]
    assert tasks == ["", ""]


LONG = "Set ANTHROPIC_API_KEY or install Claude Code; `dispatch-mcp doctor` says what there is in this environment"
TABLE = [("✓", "worker auto, shell", LONG), ("!", "state directory", "/a/folder/with/a/long/name has mode 755")]


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], io.StringIO]:
    """Returns what makes stdout a terminal of some columns."""

    def wide(columns: int) -> io.StringIO:
        stream = io.StringIO()
        device = console.Console(file=stream, width=columns, force_terminal=True, color_system=None, highlight=False)
        monkeypatch.setattr(console, "out", device)
        return stream

    return wide


@pytest.mark.parametrize("columns", [40, 50, 72, 80, 132, 200])
def test_a_terminal_gets_whole_words_in_lines_that_fit(terminal: Callable[[int], io.StringIO], columns: int) -> None:
    stream = terminal(columns)
    console.show(("", "what", "found"), TABLE)
    console.say(f"  ! worker: {LONG}")
    lines = stream.getvalue().splitlines()
    assert [line for line in lines if len(line) > columns] == []
    words = {word for row in TABLE for cell in row for word in cell.split()} | {"worker:", "what", "found", "what:"}
    assert {word for line in lines for word in line.split()} - words <= {"what:", "found:"}


def test_columns_that_cannot_stand_side_by_side_stand_below_each_other(
    terminal: Callable[[int], io.StringIO],
) -> None:
    stream = terminal(40)
    console.show(("run", "state", "where"), [("0123456789abcdef0123", "running", "/a/long/path/of/a/workspace")])
    assert stream.getvalue().splitlines() == [
        "0123456789abcdef0123",
        "  state: running",
        "  where: /a/long/path/of/a/workspace",
    ]


def test_short_cells_of_a_row_that_is_a_block_stand_beside_each_other(terminal: Callable[[int], io.StringIO]) -> None:
    stream = terminal(60)
    why = "skipped, as 'round' was not done by anybody"
    row = ("council.architecture-strategist", "skipped", "api", "", "2", why)
    console.show(("task", "state", "worker", "agent", "tries", ""), [row])
    assert stream.getvalue().splitlines() == [
        "council.architecture-strategist",
        "  state: skipped · worker: api · tries: 2",
        "  skipped, as 'round' was not done by anybody",
    ]


def test_a_pipe_gets_each_row_on_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    console.show(("", "what", "found"), TABLE)
    assert len(capsys.readouterr().out.splitlines()) == 1 + len(TABLE)


@given(st.lists(st.lists(st.text("ab \n漢", max_size=9), min_size=3, max_size=3), max_size=5))
def test_no_line_of_a_pipe_ends_with_blanks_and_columns_stand_below_their_headings(rows: list[list[str]]) -> None:
    stream = io.StringIO()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            console, "out", console.Console(file=stream, width=20, highlight=False, markup=False, emoji=False)
        )
        console.show(("name", "of what", "why"), rows)
    lines = stream.getvalue().split("\n")[:-1]
    assert len(lines) == 1 + len(rows)
    assert [line for line in lines if line != line.rstrip()] == []


def test_a_title_stands_above_a_piped_table(capsys: pytest.CaptureFixture[str]) -> None:
    console.show(("a", "b"), [("long name", ""), ("x", "y")], title="all of it")
    assert capsys.readouterr().out == "all of it\na          b\nlong name\nx          y\n"


RUNS = [
    ("shop-payments-3f2a", "Add payments to the shop", "running", "3 of 12", "2 min", "", "/users/ann/projects/shop")
]


def test_where_room_is_short_empty_columns_go_first(terminal: Callable[[int], io.StringIO]) -> None:
    stream = terminal(88)
    console.show(("run", "title", "state", "done", "age", "waits for", "workspace"), RUNS)
    head, *_ = stream.getvalue().splitlines()
    assert head.split() == ["run", "title", "state", "done", "age", "workspace"]


@pytest.mark.parametrize(
    ("columns", "facts"),
    [
        (40, ["  title: Add payments to the shop", "  state: running · done: 3 of 12", "  age: 2 min"]),
        (60, ["  title: Add payments to the shop · state: running", "  done: 3 of 12 · age: 2 min"]),
        (80, ["  title: Add payments to the shop · state: running · done: 3 of 12 · age: 2 min"]),
    ],
)
def test_no_sentence_is_piled_up_in_a_narrow_column(
    terminal: Callable[[int], io.StringIO], columns: int, facts: list[str]
) -> None:
    stream = terminal(columns)
    console.show(("run", "title", "state", "done", "age", "waits for", "workspace"), RUNS)
    assert stream.getvalue().splitlines() == [
        "shop-payments-3f2a",
        *facts,
        "  workspace: /users/ann/projects/shop",
    ]


def test_a_mark_or_a_number_stands_beside_what_it_is_about(terminal: Callable[[int], io.StringIO]) -> None:
    stream = terminal(30)
    console.show(("", "what", "found"), [("✗", "state directory", "/srv/state cannot be made")])
    console.show(("s", "event", "task"), [("    0.003", "attempt_started_by_somebody", "history")])
    assert stream.getvalue().splitlines() == [
        "✗ state directory",
        "  found: /srv/state cannot be",
        "  made",
        "0.003",
        "attempt_started_by_somebody",
        "  task: history",
    ]
