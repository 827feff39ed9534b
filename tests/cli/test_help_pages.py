"""Help for people at any width, and what was probably meant."""

from __future__ import annotations

import re
import subprocess
import sys

import command_runs
import pytest

from dispatch_mcp.cli import arguments, help_pages

WIDTHS = (40, 60, 80, 120, 200)


@pytest.fixture
def shell(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> command_runs.Shell:
    return command_runs.shell(monkeypatch, capsys)


def words_of(text: str) -> set[str]:
    return set(text.split())


@pytest.mark.parametrize("columns", WIDTHS)
@pytest.mark.parametrize("command", ["", *arguments.COMMANDS])
def test_help_breaks_no_word_at_any_width(
    command: str, columns: int, shell: command_runs.Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = [*filter(None, [command]), "--help"]
    monkeypatch.setenv("COLUMNS", "2000")
    whole = words_of(shell(*asked).out)
    monkeypatch.setenv("COLUMNS", str(columns))
    page = shell(*asked).out
    assert words_of(page) <= whole
    too_long = [line for line in page.splitlines() if len(line) >= columns and " " in line.strip()]
    assert [line for line in too_long if not line.lstrip().startswith(("dispatch-mcp ", "usage:"))] == []


def test_the_overview_lists_every_command_once_under_a_heading(shell: command_runs.Shell) -> None:
    page = shell("--help").out
    listed = re.findall(r"^  ([a-z]+)  ", page, re.MULTILINE)
    assert sorted(listed) == sorted(arguments.COMMANDS)
    assert [title for title in arguments.GROUPS if f"\n{title}:\n" not in page] == []


@pytest.mark.parametrize("command", ["", *arguments.EXAMPLES])
def test_examples_are_lines_that_can_be_typed(command: str, shell: command_runs.Shell) -> None:
    page = shell(*filter(None, [command]), "--help").out
    for example in arguments.EXAMPLES[command]:
        assert f"  dispatch-mcp {example}\n" in page
        words = [word.strip('"') for word in re.findall(r'"[^"]*"|\S+', example.partition(" > ")[0])]
        assert arguments.parser().read(words).command == words[0]


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        (("stauts",), "'status'"),
        (("reveiw",), "'review'"),
        (("run", "x.json", "--wroker", "api"), "'--worker'"),
        (("route", "x", "--rooster=y"), "'--roster'"),
        (("trace", "latest", "--veiw", "results"), "'--view'"),
        (("trace", "latest", "--view", "result"), "'results'"),
        (("install", "claudecode"), "'claude-code'"),
        (("install", "vs-code"), "'vscode'"),
    ],
)
def test_a_slip_is_answered_with_what_was_meant(typed: tuple[str, ...], meant: str, shell: command_runs.Shell) -> None:
    answer = shell(*typed)
    assert answer.code == 2
    assert f"Did you mean {meant}?" in answer.err
    assert len(answer.err.splitlines()) == 2


@pytest.mark.parametrize(
    ("typed", "text"),
    [
        (("--verison",), "dispatch-mcp: unknown: --verison. Did you mean '--version'?\n"),
        (("-v",), "dispatch-mcp: unknown: -v. Did you mean '-V'?\n"),
        (("--qqq", "status"), "dispatch-mcp: unknown: --qqq.\n"),
        (("version",), "`dispatch-mcp --version` says which one this is.\n"),
        (("logs",), "`trace latest` shows what happened in the newest run.\n"),
        (("qqq",), "there is no 'qqq'. Choose from: install, uninstall, doctor, config, "),
        (
            ("--workspace", "/srv/shop", "status"),
            "dispatch-mcp: --workspace stands behind the command, as in `dispatch-mcp status --workspace`\n",
        ),
        (("install", "codex", "--scope", "global"), "Did you mean 'local'? Choose from: user, project, local.\n"),
        (("limit", "latest", "--dollars", "5"), "unknown: --dollars 5. Write NAME=VALUE, such as dollars=8.\n"),
        (("plan", "Add payments to the shop"), 'a plan: dispatch-mcp plan --request "…".\n'),
        (("status", "--workspace", "/no/such"), "Name the folder of your project, with --workspace or in"),
    ],
)
def test_what_is_typed_in_the_wrong_place_or_form_is_answered_with_the_right_one(
    typed: tuple[str, ...], text: str, shell: command_runs.Shell
) -> None:
    answer = shell(*typed)
    assert (answer.code, answer.out) == (2, "")
    assert text in answer.err


def test_what_resembles_nothing_is_answered_with_what_there_is(shell: command_runs.Shell) -> None:
    answer = shell("install", "emacs")
    assert "Choose from: claude-code, claude-desktop" in answer.err
    assert "usage: dispatch-mcp install [options] [client]; --help" in answer.err


@pytest.mark.parametrize("typed", [("help",), ("-h",), ("--help",)])
def test_help_comes_however_one_asks(typed: tuple[str, ...], shell: command_runs.Shell) -> None:
    assert shell(*typed).out == shell("--help").out
    assert shell(*typed, "run").out == shell("run", *typed).out


def test_help_loads_nothing_that_the_commands_need() -> None:
    code = (
        "import sys; sys.argv = ['dispatch-mcp', 'run', '--help']\n"
        "from dispatch_mcp import __main__\n"
        "__main__.main()\n"
        "sys.stderr.write(' '.join(sorted(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=True)
    heavy = {"pydantic", "rich", "mcp", "anyio", "dataclasses", "inspect", "shtab", "dispatch_mcp.configuration"}
    assert heavy & set(done.stderr.split()) == set()


def test_a_line_keeps_its_indentation_and_its_words() -> None:
    text = "  one two three four-five /a/very/long/path/that/does/not/fit"
    assert help_pages.in_columns(text, 16) == "\n".join(
        ["  one two three", "  four-five", "  /a/very/long/path/that/does/not/fit"]
    )
    assert help_pages.in_columns(text, 0) == text
