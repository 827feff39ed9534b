"""Plans, and requests on the way to one, at a shell."""

from __future__ import annotations

import io
import itertools
import json
import sys
from pathlib import Path

import command_runs
import fake_provider
import pytest

AGENTS = Path(__file__).parents[2] / "agents"

CLASH = [
    {"id": "a", "do": "Write the form", "files": ["app.py"]},
    {"id": "b", "do": "Style the form", "files": ["app.py"]},
]


@pytest.fixture
def shell(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> command_runs.Shell:
    """A shell whose settings add no reviews to a plan."""
    monkeypatch.setenv("DISPATCH_MCP_REVIEW_POLICY", "off")
    return command_runs.shell(monkeypatch, capsys)


def test_a_request_gets_a_pattern_agents_and_its_own_words_back(shell: command_runs.Shell) -> None:
    answer = shell("plan", "--request", "Find out why the login fails, then fix it")
    assert answer.code == 0, answer.err
    assert answer.out.startswith("pattern: ")
    assert "request: Find out why the login fails, then fix it\n" in answer.out
    assert "eng-backend: " in answer.out
    assert '--pattern NAME --part "…"' in answer.out


def test_a_request_as_json_has_no_tasks_and_names_no_tools(shell: command_runs.Shell) -> None:
    answer = shell("plan", "--request", "Tìm nguyên nhân lỗi đăng nhập 🧾", "--json").json
    assert answer["request"] == "Tìm nguyên nhân lỗi đăng nhập 🧾"
    assert {"pattern", "parts", "agents", "fill", "next"} <= answer.keys()
    assert not {"tasks", "plan_id"} & answer.keys()
    assert "plan_dag" not in json.dumps(answer)


def test_a_folder_of_agents_can_stand_in_for_the_roster(shell: command_runs.Shell) -> None:
    words = ("plan", "--request", "Fix bug trong budget tracking", "--roster", str(AGENTS / "example-backend-lead"))
    assert "agentic-agent" in shell(*words, "--json").json["agents"]
    planned = shell(*words, "--json", "--pattern", "single", "--part", "Fix bug trong budget tracking").json
    assert planned["tasks"]["work"]["agent"] == "agentic-agent"


def test_parts_of_a_request_become_a_plan_in_their_own_words(shell: command_runs.Shell) -> None:
    words = ("--request", "Audit logging", "--pattern", "phased-rollout", "--part", "Add the table", "--part", "Log in")
    answer = shell("plan", *words, "--todo", "--mermaid")
    assert answer.code == 0, answer.err
    assert answer.out.startswith("added: verify (pattern phased-rollout)\n")
    assert "add-the-table: Add the table\n" in answer.out
    assert "[ ] log-in: Log in (medium)" in answer.out
    assert "flowchart LR" in answer.out


def test_a_model_writes_the_plan_and_what_is_wrong_with_it_goes_back_once(
    shell: command_runs.Shell, provider: fake_provider.Provider, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("ANTHROPIC_API_KEY", fake_provider.KEY)
    monkeypatch.setenv("ANTHROPIC_BASE_URL", provider.url)
    monkeypatch.setenv("DISPATCH_MCP_WORKSPACE", str(tmp_path))  # no file of ours may bring the words of a rule
    good = {"tasks": [{"id": "a", "do": "Find out why the login fails"}, {"id": "b", "do": "Fix it", "deps": ["a"]}]}
    bad = json.dumps({"tasks": [{"id": "a", "do": "Find out", "deps": ["nobody"]}]})
    answers = {"unknown_dependency": json.dumps(good), "Find out why": f"Here it is:\n```json\n{bad}\n```"}
    lead = "You are the main planner"
    provider.rules(
        {
            "match": {"system": lead, "user": "not in the plan"},
            "steps": [fake_provider.done(answer=answers["unknown_dependency"])],
        },
        {"match": {"system": lead}, "steps": [fake_provider.done(answer=answers["Find out why"])]},
    )
    answer = shell("plan", "--request", "Find out why the login fails, then fix it", "--with", "api", "--json")
    assert answer.code == 0, answer.err
    assert answer.json["waves"] == [["a"], ["b"]]
    assert len(provider.requests()) == 2


def test_a_model_that_writes_no_plan_is_told_apart_from_one_that_does(
    shell: command_runs.Shell, provider: fake_provider.Provider, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ANTHROPIC_API_KEY", fake_provider.KEY)
    monkeypatch.setenv("ANTHROPIC_BASE_URL", provider.url)
    provider.rules({"match": {}, "steps": [fake_provider.done(answer="I would rather not.")]})
    answer = shell("plan", "--request", "Fix the login", "--with", "api")
    assert answer.code == 1
    assert "holds no tasks" in answer.err


def test_without_a_key_nobody_writes_a_plan(shell: command_runs.Shell) -> None:
    answer = shell("plan", "--request", "Fix the login", "--with", "api")
    assert answer.code == 2
    assert "api" in answer.err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("plan", "x.json", "--request", "Fix it"), "Both a file 'x.json' and --request are given."),
        (("plan", "--request", "  "), "The request is empty."),
        (("plan", "x.json", "--with", "api"), "--with 'api' is for --request only."),
        (("plan", "--request", "Fix it", "--part", "a"), "--part needs a --pattern."),
        (("plan", "--request", "Fix it", "--pattern", "waterfall"), "There is no pattern 'waterfall'."),
        (
            ("plan", "--request", "Fix it", "--with", "api", "--part", "a"),
            "Both --with 'api' and --part ['a'] are given.",
        ),
        (("plan", "--request", "Fix it", "--todo"), "--todo needs tasks."),
    ],
    ids=["both", "empty", "writer", "no pattern", "no such pattern", "two ways", "todo"],
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


def test_a_plan_says_what_it_will_take_and_how_to_run_it(
    shell: command_runs.Shell, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tasks = [{"id": "a", "do": "Write the form"}, {"id": "b", "do": "Test the form", "deps": ["a"]}]
    monkeypatch.setenv("ANTHROPIC_API_KEY", "sk-ant-none")
    lines = shell("plan", command_runs.written(tmp_path, tasks)).out.splitlines()
    assert lines[:2] == ["wave 1: a", "wave 2: b"]
    [path] = [line for line in lines if line.startswith("critical path: ")]
    assert path == "critical path: a → b"
    [forecast] = [line for line in lines if line.startswith("forecast (")]
    assert "tokens" in forecast
    [plan] = [line for line in lines if line.startswith("plan ")]
    plan_id = plan.split()[1].rstrip(",")
    assert plan == f"plan {plan_id}, version 1: run it with `dispatch-mcp run {plan_id}`"


OF_EACH_KIND = {
    "allowed": {"id": "look", "do": "Look", "command": ["git", "status"]},
    "refused": {"id": "build", "do": "Build it", "command": ["./build", "--all"]},
    "worded": {"id": "poem", "do": "Write a poem"},
}


@pytest.mark.parametrize("has_key", [False, True])
@pytest.mark.parametrize(
    "kinds", [kinds for count in (1, 2, 3) for kinds in itertools.combinations(OF_EACH_KIND, count)], ids="-".join
)
def test_a_plan_offers_the_run_that_begins_and_behind_what_has_to_be_allowed_first(
    shell: command_runs.Shell, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kinds: tuple[str, ...], *, has_key: bool
) -> None:
    monkeypatch.setenv("PATH", "/usr/bin:/bin")
    monkeypatch.setenv("DISPATCH_MCP_WORKSPACE", str(tmp_path))
    if has_key:
        monkeypatch.setenv("ANTHROPIC_API_KEY", "sk-ant-none")
    path = command_runs.written(tmp_path, [OF_EACH_KIND[kind] for kind in kinds])
    text = shell("plan", path).out
    [line] = [line for line in text.splitlines() if line.startswith("plan ")]
    name = line.split()[1].rstrip(",")
    assert ("not_allowed: " in text) == ("refused" in kinds) == ("llow its commands first" in line)
    is_possible = has_key or "worded" not in kinds
    assert line.endswith(f"run it with `dispatch-mcp run {name}`") == is_possible
    if not is_possible:
        assert "Nobody here can do 'poem': no ANTHROPIC_API_KEY is set here. Set ANTHROPIC_API_KEY or install" in line
    if not (has_key and is_possible):
        assert ("Nobody here can do 'poem'" in shell("run", name, "--quiet").err) != is_possible


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


DENTIST = """---
name: dentist
description: Looks after teeth and plans treatments.
---
You are a dentist.
"""


def test_a_document_is_planned_and_run_with_a_roster_or_a_folder_of_agents(
    shell: command_runs.Shell, tmp_path: Path
) -> None:
    (tmp_path / "practice").mkdir()
    (tmp_path / "practice" / "dentist.md").write_text(DENTIST, encoding="utf-8")
    file = command_runs.written(tmp_path, [{"id": "a", "do": "Plan the treatments of all teeth"}])
    own = shell("plan", file, "--roster", str(tmp_path / "practice"), "--json")
    assert own.code == 0, own.err
    assert own.json["tasks"]["a"]["agent"] == "dentist"
    everybody = shell("plan", file, "--json")
    assert everybody.json["plan_id"] != own.json["plan_id"]
    run = shell("run", file, "--roster", str(tmp_path / "practice"), "--dry-run", "--quiet")
    assert run.code == 0, run.err
    assert shell("status", "latest", "--json").json["plan_id"] == own.json["plan_id"]
    stored = shell("run", everybody.json["plan_id"], "--roster", "growth", "--dry-run", "--quiet")
    assert stored.code == 0, stored.err


@pytest.mark.parametrize("command", ["plan", "run"])
def test_a_roster_that_there_is_not_is_refused_before_anything_is_stored(
    shell: command_runs.Shell, tmp_path: Path, command: str
) -> None:
    file = command_runs.written(tmp_path, [{"id": "a", "do": "Plan the treatments"}])
    answer = shell(command, file, "--roster", "growht")
    assert answer.code != 0
    assert "There is no roster 'growht'." in answer.err
    assert "growth" in answer.err


class Terminal(io.StringIO):
    """A terminal at which nobody types."""

    def isatty(self) -> bool:
        return True


def test_a_plan_of_nothing_waits_for_no_document_at_a_terminal(
    shell: command_runs.Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stdin", Terminal())
    answer = shell("plan")
    assert answer.code == 2
    assert "There is nothing to plan." in answer.err
    assert "--request" in answer.err


def test_an_unsure_request_lists_patterns_and_agents_below_what_they_are(shell: command_runs.Shell) -> None:
    lines = shell("plan", "--request", "Add payments to the shop").out.splitlines()
    assert lines[0].startswith("pattern: unsure")
    at_patterns = next(place for place, line in enumerate(lines) if "(--pattern)" in line)
    at_agents = lines.index("who might do them:")
    assert lines[at_patterns + 1 : at_agents][0] == "  single: the whole, as one part"
    assert all(line.startswith("  ") for line in lines[at_patterns + 1 : at_agents])
    assert any(line.startswith("  eng-backend: ") for line in lines[at_agents:])


def test_a_notice_of_a_plan_names_the_tasks_that_it_is_about(shell: command_runs.Shell, tmp_path: Path) -> None:
    tasks = [
        {"id": "odd", "do": "Sort out the leftovers", "files": ["a.txt"]},
        {"id": "sure", "do": "Fix the bug in the login form", "files": ["b.txt"]},
    ]
    lines = shell("plan", command_runs.written(tmp_path, tasks)).out.splitlines()
    assert "low_confidence_route: odd: No specialist fits; you may name one." in lines
