"""What every command says in every state of a workspace: it can be typed there, and it is true."""

from __future__ import annotations

import contextlib
import io
import re
import shlex
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import command_runs
import pytest
import step_examples

from dispatch_mcp.cli import arguments

COMMAND = re.compile(r"`dispatch-mcp ([^`]+)`")
STANDS_FOR = {"…": "dollars=8", "FILE": "tasks.json", "RUN": "latest", "TASK": "a"}
ID = re.compile(r"\b(?:look-around|run-tests)-[0-9a-f]{4}\b")
OF_SERVERS = (*step_examples.TOOLS, "run_id", "restart the server", "this server", "is registered", "NOBODY")

STATES = {
    "nothing": (),
    "planned": ("plan good.json",),
    "succeeded": ("run good.json --quiet",),
    "failed": ("run bad.json --quiet",),
    "waiting": ("run bad.json --quiet", "steer retry latest a"),
    "paused": ("run bad.json --quiet", "steer retry latest a", "steer pause latest"),
    "cancelled": ("run bad.json --quiet", "steer retry latest a", "steer cancel latest"),
}
"""What was typed before, in a folder that holds two task documents."""

COMMANDS = (
    "status",
    "status --all",
    "status latest",
    "trace latest",
    "trace latest --view results",
    "steer cancel latest",
    "steer pause latest",
    "steer resume latest",
    "steer retry latest a",
    "steer skip latest a",
    "limit latest",
    "limit latest dollars=8",
    "approve latest",
    "apply latest",
    "waive latest f --reason fine",
    "review",
    "review --run latest",
    "review --diff none.diff",
    "worktrees",
    "prune --dry-run",
    "plan none.json",
    "run none.json",
    "run nobody-has-this",
    "plan code.json",
    "run code.json",
    "run code.json --worker claude",
    'plan --request "Add payments to the shop" --with api',
    'plan --request "Add payments to the shop" --with claude',
    "status nobody",
    "context --workspace / total",
)


@pytest.fixture
def shell(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> command_runs.Shell:
    (tmp_path / "good.json").write_text(
        '{"tasks": [{"id": "a", "do": "Look around", "command": ["git", "status", "--short"]}]}', encoding="utf-8"
    )
    (tmp_path / "bad.json").write_text(
        '{"tasks": [{"id": "a", "do": "Run the tests", "command": ["pytest", "-q"]}]}', encoding="utf-8"
    )
    (tmp_path / "code.json").write_text(
        '{"tasks": [{"id": "a", "do": "Mend `total` in cart.py so that it rounds", "files": ["cart.py"]}]}',
        encoding="utf-8",
    )
    git = shutil.which("git")
    assert git
    subprocess.run([git, "init", "-q", str(tmp_path)], check=True)
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "git").symlink_to(git)
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))  # neither Claude Code nor pytest
    monkeypatch.chdir(tmp_path)
    return command_runs.shell(monkeypatch, capsys)


def prepared(shell: command_runs.Shell, state: str) -> None:
    for words in STATES[state]:
        shell(*shlex.split(words))


def hints(text: str) -> Iterator[list[str]]:
    for command in COMMAND.findall(text):
        yield [STANDS_FOR.get(word, word) for word in shlex.split(command)]


@pytest.mark.slice(2)
@pytest.mark.parametrize("state", STATES)
def test_whatever_a_command_advises_can_be_typed_and_speaks_to_a_person_at_a_shell(
    state: str, shell: command_runs.Shell
) -> None:
    for words in COMMANDS:
        if words.startswith("steer") or words == COMMANDS[0]:
            prepared(shell, state)
        answer = shell(*shlex.split(words))
        text = f"{answer.out}\n{answer.err}"
        assert not [word for word in OF_SERVERS if word in text], (words, text)
        for typed in hints(text):
            with contextlib.redirect_stderr(io.StringIO()) as complaint:
                options = arguments.parser().parse_args(typed)
            assert options.command == typed[0], complaint.getvalue()


def said(shell: command_runs.Shell, words: str, folder: Path) -> str:
    answer = shell(*shlex.split(words))
    text = (answer.out + answer.err).replace(str(folder), "HERE")
    return ID.sub(lambda match: "ID", text).replace("dispatch-mcp: ", "").strip()


NO_RUN = "There is no run of 'HERE' yet, so none is the latest.\n  "
BEGIN = {
    "nothing": "`dispatch-mcp run FILE` runs a task document; `dispatch-mcp demo` shows how that looks.",
    "planned": "Plan ID has not been run yet: `dispatch-mcp run ID` starts it.",
}
DONE = "Done. Read `dispatch-mcp trace ID --view results`."
FAILED = (
    "Failed: a. Read `dispatch-mcp trace ID --view results`, then `dispatch-mcp steer retry ID a` or "
    "`dispatch-mcp steer skip ID a`, task by task."
)
GO_ON = (
    "No process is at work on 'a': `dispatch-mcp worker --idle 60` goes on with it, and ends when there is nothing to "
    "do."
)
PAUSED = "Paused. Resume it with `dispatch-mcp steer resume ID`."
CANCELLED = "Ended as cancelled. `dispatch-mcp steer retry ID TASK` reopens a task."
NEEDLESS = "There was nothing to {}: the run was {}."
NO_DECISION = "No decision waits in run ID.\n  `dispatch-mcp status ID` says where it stands."
NO_OPEN_RUNS = (
    "No open runs. `dispatch-mcp status ID` says how the newest ended; `dispatch-mcp status --all` lists all."
)
OVER = {"succeeded": ("1 succeeded", DONE), "failed": ("1 failed", FAILED), "cancelled": ("1 cancelled", CANCELLED)}

TEXTS: dict[tuple[str, str], str] = {
    **{(state, "status"): f"There are no runs yet. {text}" for state, text in BEGIN.items()},
    **{
        (state, f"{command} latest"): NO_RUN + text
        for state, text in BEGIN.items()
        for command in ("status", "trace", "steer cancel", "approve", "apply", "review --run")
    },
    **{(state, "status"): NO_OPEN_RUNS for state in OVER},
    **{
        (state, f"steer {action} latest"): f"run ID: {state} ({count})\n{NEEDLESS.format(action, 'over')} {text}"
        for state, (count, text) in OVER.items()
        for action in ("cancel", "pause", "resume")
    },
    **{(state, "approve latest"): NO_DECISION for state in ("waiting", "paused", *OVER)},
    ("waiting", "steer pause latest"): f"run ID: paused (1 ready)\n{PAUSED}",
    ("waiting", "steer resume latest"): f"run ID: running (1 ready)\n{NEEDLESS.format('resume', 'not paused')} {GO_ON}",
    ("waiting", "steer cancel latest"): f"run ID: cancelled (1 cancelled)\n{CANCELLED}",
    ("paused", "steer pause latest"): f"run ID: paused (1 ready)\n{NEEDLESS.format('pause', 'paused')} {PAUSED}",
    ("paused", "steer resume latest"): f"run ID: running (1 ready)\n{GO_ON}",
}


@pytest.mark.slice(3)
@pytest.mark.parametrize(("state", "words"), TEXTS, ids=lambda part: part)
def test_what_a_command_says_in_a_state(state: str, words: str, shell: command_runs.Shell, tmp_path: Path) -> None:
    prepared(shell, state)
    assert said(shell, words, tmp_path) == TEXTS[state, words]


NOBODY_WRITES = "Nobody can write the plan with {!r}: {}.\n  {}, or split the request yourself: --pattern NAME --part"
NO_KEY = "no ANTHROPIC_API_KEY is set here"
NO_CLAUDE = "Claude Code is not on the PATH, and the setting `claude_program` names none"


@pytest.mark.parametrize(
    ("words", "text"),
    [
        ('plan --request "Add it" --with api', NOBODY_WRITES.format("api", NO_KEY, "Set ANTHROPIC_API_KEY")),
        ('plan --request "Add it" --with claude', NOBODY_WRITES.format("claude", NO_CLAUDE, "Install Claude Code")),
        (
            "run code.json --quiet",
            f"Nobody here can do 'a': {NO_KEY}. Nothing was started.\n  Set ANTHROPIC_API_KEY or install Claude Code;",
        ),
        (
            "run code.json --quiet --worker claude",
            f"Nobody here can do 'a': {NO_CLAUDE}. Nothing was started.\n  Install Claude Code; see the flow with",
        ),
        ("review", "Nobody here can review: set ANTHROPIC_API_KEY, install Claude Code, or ask your assistant"),
        (
            "context --workspace / total",
            "is the root of the disk.\n  Go to the folder of your project, or name it with",
        ),
        ("review --workspace /", "A change that lies elsewhere: `dispatch-mcp review --diff FILE`."),
        ("limit latest dolars=3", "limits.dolars is 3; there is no such limit.\n  Did you mean 'dollars'?"),
        (
            "resume latest",
            "there is no 'resume'. `run` with the same file or plan goes on with a run that was ended, `steer",
        ),
        ("retry latest code", "there is no 'retry'. `steer retry RUN` does that.\n"),
        ("steer", "are required: action (cancel, pause, resume, retry, skip), run\n"),
        ("completion", "are required: shell (bash, zsh, fish, powershell)\n"),
        ("plan code.json", "DISPATCH_MCP_REVIEWS=none before the command leaves the reviews out.\n"),
        (
            "plan --request x --pattern feedback-loop --part x",
            "A pattern's own tasks stay out of a plan that you write",
        ),
        ("run bad.json --quiet", "in the environment, which outranks the file. A server that runs already has to be"),
    ],
)
def test_what_is_missing_is_named_with_the_way_out(
    words: str, text: str, shell: command_runs.Shell, tmp_path: Path
) -> None:
    assert text in said(shell, words, tmp_path)


def test_events_name_plans_and_owners_in_their_short_form(shell: command_runs.Shell) -> None:
    prepared(shell, "succeeded")
    first, second = [line for line in shell("trace", "latest").out.splitlines() if "run_" in line][:2]
    assert re.search(r"plan=look-around-[0-9a-f]{4} version=1", first)
    assert re.search(r"owner=[0-9a-f]{8} epoch=1", second)


def test_a_plan_of_commands_alone_is_given_no_minutes_that_nobody_knows(shell: command_runs.Shell) -> None:
    answer = shell("plan", "good.json").out
    assert "forecast: only commands, so no model is paid" in answer
    assert " min" not in answer
    assert "min with 5 at a time" in shell("plan", "code.json").out


def test_a_run_that_is_no_review_is_not_reviewed_by_nobody(shell: command_runs.Shell, tmp_path: Path) -> None:
    prepared(shell, "succeeded")
    answer = shell("review", "--run", "latest")
    assert answer.code == 3
    assert "Nobody here can review" in answer.err
    assert said(shell, "status", tmp_path) == TEXTS["succeeded", "status"]


@pytest.mark.parametrize("words", ["status --all", "doctor", "config", "run good.json"])
def test_a_folder_that_is_gone_is_named_as_what_is_wrong(
    words: str, shell: command_runs.Shell, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "away"
    folder.mkdir()
    monkeypatch.chdir(folder)
    folder.rmdir()
    answer = shell(*words.split())
    assert (answer.code, answer.out) == (2, "")
    assert answer.err == "dispatch-mcp: The folder in which you are is gone.\n  Go to another one with `cd`.\n"
