"""Plans and drafts at a shell."""

from __future__ import annotations

import json
from pathlib import Path

import command_runs
import pytest

CLASH = [
    {"id": "a", "do": "Write the form", "files": ["app.py"]},
    {"id": "b", "do": "Style the form", "files": ["app.py"]},
]


@pytest.fixture
def shell(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> command_runs.Shell:
    """A shell whose settings add no reviews to a plan."""
    monkeypatch.setenv("DISPATCH_MCP_REVIEW_POLICY", "off")
    return command_runs.shell(monkeypatch, capsys)


def test_a_draft_says_how_sure_it_is_and_that_it_is_one(shell: command_runs.Shell) -> None:
    answer = shell("plan", "--request", "Find out why the login fails, then fix it", "--todo", "--diagram")
    assert answer.code == 0, answer.err
    assert answer.out.startswith("pattern: ")
    assert "a draft: split it into exact tasks and give those to `dispatch-mcp plan FILE`" in answer.out
    assert "flowchart" in answer.out
    assert "[ ] " in answer.out


def test_a_draft_as_json_has_tasks_and_what_to_do_with_them(shell: command_runs.Shell) -> None:
    answer = shell("plan", "--request", "Find out why the login fails, then fix it", "--json", "--todo").json
    assert {"pattern", "tasks", "next", "todo"} <= answer.keys()
    assert len(answer["todo"]) == len(answer["tasks"])
    assert "plan_dag" not in json.dumps(answer)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("plan", "x.json", "--request", "Fix it"), "Both a file 'x.json' and --request are given."),
        (("plan", "--request", "  "), "The request is empty."),
        (("plan", "x.json", "--roster", "backend"), "--roster 'backend' is for --request only."),
    ],
    ids=["both", "empty", "roster"],
)
def test_options_that_do_not_go_together_are_refused(
    shell: command_runs.Shell, words: tuple[str, ...], message: str
) -> None:
    answer = shell(*words)
    assert answer.code == 2
    assert message in answer.err


@pytest.mark.parametrize(("how", "text"), [("serialize", "added: a before b"), ("worktree", "wave 1: a, b\n")])
def test_a_clash_over_a_file_is_told_with_what_was_done_about_it(
    shell: command_runs.Shell, tmp_path: Path, how: str, text: str
) -> None:
    answer = shell("plan", command_runs.written(tmp_path, CLASH), "--on-conflict", how)
    assert answer.code == 0, answer.err
    assert text in answer.out


def test_a_clash_can_be_an_error(shell: command_runs.Shell, tmp_path: Path) -> None:
    answer = shell("plan", command_runs.written(tmp_path, CLASH), "--on-conflict", "error")
    assert answer.code == 2
    assert "app.py" in answer.err
    assert answer.err.endswith("  Fix all of them and try again.\n")


def test_a_plan_says_what_it_will_take_and_how_to_run_it(shell: command_runs.Shell, tmp_path: Path) -> None:
    tasks = [{"id": "a", "do": "Write the form"}, {"id": "b", "do": "Test the form", "deps": ["a"]}]
    lines = shell("plan", command_runs.written(tmp_path, tasks)).out.splitlines()
    assert lines[:2] == ["wave 1: a", "wave 2: b"]
    [path] = [line for line in lines if line.startswith("critical path: ")]
    assert path == "critical path: a → b"
    [forecast] = [line for line in lines if line.startswith("forecast (")]
    assert "tokens" in forecast
    [plan] = [line for line in lines if line.startswith("plan ")]
    plan_id = plan.split()[1].rstrip(",")
    assert plan == f"plan {plan_id}, version 1: run it with `dispatch-mcp run {plan_id}`"


def test_a_list_of_things_to_do_has_the_most_urgent_priority_with_each(
    shell: command_runs.Shell, tmp_path: Path
) -> None:
    tasks = [{"id": "a", "do": "Write the form", "priority": "high"}]
    path = command_runs.written(tmp_path, tasks)
    assert "[ ] a: Write the form (high)" in shell("plan", path, "--todo").out
    [item] = shell("plan", path, "--todo", "--json").json["todo"]
    assert (item["status"], item["priority"]) == ("pending", "high")


def test_a_plan_that_asks_for_no_proof_is_told_what_could_prove_it(
    shell: command_runs.Shell, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shop = tmp_path / "shop"
    (shop / "tests").mkdir(parents=True)
    (shop / "pytest.ini").touch()
    monkeypatch.setenv("DISPATCH_MCP_WORKSPACE", str(shop))
    tasks = [
        {"id": "code", "do": "Add a discount", "files": ["cart.py"]},
        {"id": "docs", "do": "Describe it", "files": ["README.md"]},
    ]
    document = tmp_path / "tasks.json"
    document.write_text(json.dumps({"tasks": tasks}), encoding="utf-8")
    answer = shell("plan", str(document))
    assert 'no proof is asked for: "acceptance": ["diff"] would do for code, docs' in answer.out
    assert (
        '`pytest -q` would prove more. Only the user can allow it: `allow_commands = [["pytest", "-q"]]`' in answer.out
    )
    monkeypatch.setenv("DISPATCH_MCP_ALLOW_COMMANDS", '[["pytest", "-q"]]')
    answer = shell("plan", str(document))
    assert '"acceptance": ["diff", "command: pytest -q"] would do for code\n' in answer.out
    assert "would prove more" not in answer.out
    assert shell("plan", str(document), "--json").json["prove"] == {
        "*": ["diff", "command: pytest -q"],
        "docs": ["diff"],
    }
