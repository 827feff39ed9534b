"""Reviews at a shell: exit codes for scripts, and what people and programs read."""

from __future__ import annotations

import io
import json
import sys
from pathlib import Path

import command_runs
import council_setup
import fake_provider
import memory_client
import pytest

from dispatch_mcp.cli.commands import review
from dispatch_mcp.next_steps import NextStep, StepKind
from dispatch_mcp.review import answer_form
from dispatch_mcp.service import review_answers

BAD = "def find(db, name):\n    return db.execute(f\"SELECT id FROM users WHERE name = '{name}'\")\n"
QUOTE = "return db.execute(f\"SELECT id FROM users WHERE name = '{name}'\")"
FINDING = review_answers.FindingLine(
    id="f1",
    severity="high",
    standing="open",
    place="app.py:3",
    quote="eval(text)",
    reviewers=("ann", "bob"),
    claim="It runs what it reads.",
    evidence="app.py:3 is reached from the form.",
    fix="Parse it.",
    marks=("proven",),
)


@pytest.fixture
def typed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> command_runs.Shell:
    """A shell in a repository with a change."""
    shop = memory_client.repository(tmp_path / "shop")
    (shop / "db.py").write_text(BAD, encoding="utf-8")
    monkeypatch.chdir(shop)
    return command_runs.shell(monkeypatch, capsys)


def answers(fake: fake_provider.Provider, monkeypatch: pytest.MonkeyPatch, security: str = council_setup.PASS) -> None:
    """Lets the fake provider review: what the security sentinel says, and PASS of everybody else."""
    monkeypatch.setenv("ANTHROPIC_API_KEY", fake_provider.KEY)
    monkeypatch.setenv("ANTHROPIC_BASE_URL", fake.url)
    fake.rules(
        {"match": {"system": "You are the security sentinel"}, "steps": [fake_provider.done(answer=security)]},
        {"match": {"system": "You are the"}, "steps": [fake_provider.done(answer=council_setup.PASS)]},
    )


def test_a_shell_reviews_with_the_api_and_blocks(
    typed: command_runs.Shell, provider: fake_provider.Provider, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    answers(provider, monkeypatch, council_setup.fails(QUOTE, "db.py", "critical", line=2))
    found = typed("review", "--json", "--sarif", str(tmp_path / "out.sarif"))
    assert found.code == 1, found.err
    assert found.json["outcome"] == "BLOCK"
    assert found.json["findings"][0]["place"] == "db.py:2"
    assert all("sonnet" in request["body"]["model"] for request in provider.requests())
    written = json.loads((tmp_path / "out.sarif").read_text(encoding="utf-8"))
    assert written["runs"][0]["results"][0]["level"] == "error"
    asked = len(provider.requests())
    assert typed("review").code == 1
    assert len(provider.requests()) == asked, "nothing is paid for twice"


def test_reviewers_of_the_api_are_held_to_one_form_and_answer_in_it(
    typed: command_runs.Shell, provider: fake_provider.Provider, monkeypatch: pytest.MonkeyPatch
) -> None:
    answers(provider, monkeypatch)
    answer = json.loads(council_setup.fails(QUOTE, "db.py", "critical", line=2).split("```json")[1].strip("`\n"))
    provider.rules(
        {"match": {"system": "You are the security sentinel"}, "steps": [{"json": answer}]},
        {"match": {"system": "You are the"}, "steps": [{"json": json.loads(council_setup.PASS)}]},
    )
    review = typed("review", "--json")
    assert (review.code, review.json["outcome"], review.json["findings"][0]["place"]) == (1, "BLOCK", "db.py:2")
    schemas = [request["body"]["output_config"]["format"]["schema"] for request in provider.requests()]
    assert schemas == [answer_form.SCHEMA] * 3


@pytest.mark.parametrize(
    ("security", "end"),
    [(council_setup.fails(QUOTE, "db.py", "critical", line=2), ("needs_changes", 1)), ("LGTM", ("inconclusive", 3))],
    ids=["blocked", "inconclusive"],
)
def test_a_round_that_has_not_passed_says_so_wherever_it_is_looked_at(
    typed: command_runs.Shell,
    provider: fake_provider.Provider,
    monkeypatch: pytest.MonkeyPatch,
    security: str,
    end: tuple[str, int],
) -> None:
    state, code = end
    answers(provider, monkeypatch, security)
    review = typed("review", "--json")
    assert (review.code, review.json["state"]) == (code, state)
    run_id = review.json["run_id"]
    standing = typed("status", run_id, "--json").json
    decision = f"`dispatch-mcp review --run {run_id}` has the decision"
    assert (standing["state"], decision in standing["next"], "skip" in standing["next"]) == (state, True, False)
    assert f"outcome={review.json['outcome']} blocks=True" in typed("trace", run_id).out
    again = typed("run", standing["plan_id"], "--worker", "api")
    assert (again.code, again.json["status"], again.json["state"]) == (code, "partial", state)
    assert "has the decision" in again.err
    assert typed("review", "--run", run_id).code == code


def test_a_person_waives_at_a_shell_and_an_assistant_does_not(
    typed: command_runs.Shell, provider: fake_provider.Provider, monkeypatch: pytest.MonkeyPatch
) -> None:
    answers(provider, monkeypatch, council_setup.fails(QUOTE, "db.py", "critical", line=2))
    found = typed("review", "--json").json
    one = found["findings"][0]["id"]
    monkeypatch.setenv("CLAUDECODE", "1")
    assert typed("waive", found["run_id"], one, "--reason", "a fixture").code == 1
    monkeypatch.delenv("CLAUDECODE")
    waived = typed("waive", found["run_id"], one, "--reason", "a fixture", "--json")
    assert waived.code == 0, waived.err
    assert "a fixture" in waived.json["findings"][0]["waived"]
    assert typed("review").code == 0


def test_a_shell_passes_what_everybody_passes(
    typed: command_runs.Shell, provider: fake_provider.Provider, monkeypatch: pytest.MonkeyPatch
) -> None:
    answers(provider, monkeypatch)
    found = typed("review")
    assert found.code == 0, found.err
    assert found.out.startswith("PASS")
    assert "devils-advocate: PASS" in found.out


def test_without_anybody_who_can_review_nothing_passes(typed: command_runs.Shell) -> None:
    found = typed("review")
    assert found.code == 3
    assert "ANTHROPIC_API_KEY" in found.err
    assert typed("review", "--json").json["outcome"] == "INCONCLUSIVE"


def test_a_simulated_review_is_inconclusive(typed: command_runs.Shell) -> None:
    found = typed("review", "--worker", "scripted", "--json")
    assert found.code == 3
    assert found.json["blocks"]


def test_the_opt_out_lets_inconclusive_through_and_says_so(
    typed: command_runs.Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DISPATCH_MCP_COUNCIL_INCONCLUSIVE_BLOCKS", "no")
    found = typed("review", "--worker", "scripted")
    assert found.code == 0
    assert "DOES NOT BLOCK" in found.out


def test_nothing_to_review_is_no_pass(typed: command_runs.Shell) -> None:
    found = typed("review", "HEAD..HEAD", "--worker", "scripted", "--json")
    assert found.code == 3
    assert found.json["outcome"] == "NOTHING_TO_REVIEW"


def test_a_range_that_is_none_is_wrong_usage(typed: command_runs.Shell) -> None:
    found = typed("review", "no-such-branch", "--worker", "scripted")
    assert found.code == 2
    assert "no-such-branch" in found.err


@pytest.mark.parametrize(
    ("answer", "code"),
    [
        (review_answers.ReviewAnswer(outcome="PASS", blocks=False), 0),
        (review_answers.ReviewAnswer(outcome="BLOCK", blocks=True), 1),
        (review_answers.ReviewAnswer(outcome="INCONCLUSIVE", blocks=True), 3),
        (review_answers.ReviewAnswer(outcome="INCONCLUSIVE", blocks=False), 0),
        (review_answers.ReviewAnswer(outcome=review_answers.NOTHING, blocks=True), 3),
        (review_answers.ReviewAnswer(run_id="r", state="running"), 3),
    ],
    ids=["pass", "block", "inconclusive", "let through", "nothing", "at work"],
)
def test_only_what_has_passed_or_does_not_block_is_exit_code_0(answer: review_answers.ReviewAnswer, code: int) -> None:
    assert review.exit_code(answer) == code


def test_a_decision_shows_each_finding_with_its_grounds(capsys: pytest.CaptureFixture[str]) -> None:
    review.show(
        review_answers.ReviewAnswer(
            run_id="r",
            outcome="BLOCK",
            blocks=True,
            why="one finding is open",
            rules="all must pass",
            reviewers=(
                review_answers.ReviewerLine(name="ann", verdict="FAIL"),
                review_answers.ReviewerLine(name="bob", problem="no JSON"),
            ),
            findings=(FINDING,),
            flags=("tests removed",),
            next=NextStep(StepKind.MEND, "r", plan="p"),
        )
    )
    seen = capsys.readouterr()
    assert seen.out.splitlines() == [
        "BLOCK: one finding is open",
        "high open [f1] app.py:3: It runs what it reads.",
        "    says: eval(text)",
        "    evidence: app.py:3 is reached from the form.",
        "    fix: Parse it.",
        "    found by ann, bob; proven",
        "  ann: FAIL",
        "  bob: waiting (no JSON)",
        "  seen: 0 changed lines of 0 files in 0 parts, 0 places",
        "  flagged: tests removed",
        "  rules: all must pass",
    ]
    assert seen.err.startswith("`dispatch-mcp run p` has the owners mend the findings")


def test_a_waived_finding_says_who_let_it_go_and_why(capsys: pytest.CaptureFixture[str]) -> None:
    waived = FINDING.model_copy(update={"standing": "waived", "waived": "ann at a shell: a fixture"})
    review.show(review_answers.ReviewAnswer(outcome="PASS", findings=(waived,)))
    assert "    waived: ann at a shell: a fixture\n" in capsys.readouterr().out


def test_what_nobody_sees_is_listed_with_what_was_seen(capsys: pytest.CaptureFixture[str]) -> None:
    coverage = review_answers.Coverage(
        files=2, lines=40, parts=1, places=3, excluded=("uv.lock (generated)",), unseen=("a.py:1-9",)
    )
    review.show(review_answers.ReviewAnswer(outcome="PASS", coverage=coverage))
    out = capsys.readouterr().out
    assert "  seen: 40 changed lines of 2 files in 1 part, 3 places\n" in out
    assert "  left out: uv.lock (generated)\n  not seen: a.py:1-9\n" in out


def test_a_round_that_is_not_over_has_no_decision_to_write(typed: command_runs.Shell, tmp_path: Path) -> None:
    answer = typed("review", "HEAD..HEAD", "--worker", "scripted", "--sarif", str(tmp_path / "out.sarif"))
    assert answer.code == 2
    assert "There is no decision to write" in answer.err
    assert not (tmp_path / "out.sarif").exists()


def test_sarif_on_stdout_is_all_that_is_on_stdout(typed: command_runs.Shell) -> None:
    answer = typed("review", "--worker", "scripted", "--sarif", "-")
    assert answer.code == 3
    assert answer.json["version"] == "2.1.0"


def test_what_is_left_to_do_in_json_is_in_the_words_of_a_shell(typed: command_runs.Shell) -> None:
    answer = typed("review", "--worker", "scripted", "--json")
    assert "`dispatch-mcp review` again" in answer.json["next"]
    again = typed("review", "--run", answer.json["run_id"], "--json")
    assert again.json["outcome"] == "INCONCLUSIVE"


PATCH = "diff --git a/db.py b/db.py\n--- a/db.py\n+++ b/db.py\n@@ -1 +1 @@\n-x = 1\n+password = eval('Größe')\n"


@pytest.mark.parametrize("arguments", [("",), ("--run", ""), ("--diff", "empty.patch"), ("--diff", "-")])
def test_an_empty_change_is_nothing_to_review_and_never_the_working_tree(
    typed: command_runs.Shell, monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...]
) -> None:
    Path("empty.patch").write_bytes(b"")
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"")))
    answer = typed("review", *arguments, "--json")
    assert (answer.code, answer.json["outcome"]) == (3, "NOTHING_TO_REVIEW")
    assert "it is empty" in answer.json["why"]


def test_a_diff_without_a_file_is_wrong_usage(typed: command_runs.Shell) -> None:
    answer = typed("review", "--diff", "")
    assert answer.code == 2
    assert "Cannot read ''" in answer.err


def test_a_file_that_is_no_diff_is_wrong_usage_whoever_could_review_it(typed: command_runs.Shell) -> None:
    Path("change.patch").write_text("*** Begin Patch\n*** Update File: a\n@@\n-a\n+b\n*** End Patch\n")
    answer = typed("review", "--diff", "change.patch")
    assert answer.code == 2
    assert "apply_patch envelope" in answer.err


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "latin-1"])
def test_a_diff_is_read_in_the_encodings_that_shells_and_files_have(typed: command_runs.Shell, encoding: str) -> None:
    Path("change.patch").write_bytes(PATCH.encode(encoding))
    answer = typed("review", "--diff", "change.patch", "--choose", "--json")
    assert (answer.code, answer.json["files"]) == (0, ["db.py (2 lines)"])


def test_a_choice_is_shown_with_its_reasons_and_starts_nothing(typed: command_runs.Shell) -> None:
    Path("change.patch").write_text(PATCH, encoding="utf-8")
    answer = typed("review", "--diff", "change.patch", "--choose")
    assert answer.code == 0, answer.err
    assert "  architecture-strategist: sits in every round\n" in answer.out
    assert "`password*` is in the change" in answer.out
    assert "  not chosen: " in answer.out
    assert "  db.py (2 lines)\n" in answer.out
    assert "Nothing was stored or started" in answer.err
    assert "There are no runs yet" in typed("status", "--all").out + typed("status", "--all").err


def test_a_choice_about_nothing_ends_as_the_review_would(typed: command_runs.Shell) -> None:
    assert typed("review", "HEAD..HEAD", "--choose").code == 3


def test_outside_of_a_repository_a_review_names_the_ways_that_a_shell_has(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    shell = command_runs.shell(monkeypatch, capsys)
    (tmp_path / "shop").mkdir()
    (tmp_path / "shop" / "README.md").write_text("# Shop")
    for words in ((), ("main..HEAD",)):
        answer = shell("review", *words, "--workspace", str(tmp_path / "shop"))
        assert answer.code == 2
        assert "--workspace DIR" in answer.err
        assert "`dispatch-mcp review --diff FILE`" in answer.err
