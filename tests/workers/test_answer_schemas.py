"""Answers held to a schema of their own: what providers are told, and what is taken from those that ignore it."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import anyio
import claude_double
import fake_provider
import pytest
from worker_conformance import FakeContext

from dispatch_mcp import model, prices, worker_setup
from dispatch_mcp.engine import task_kinds
from dispatch_mcp.model import AttemptState, WorkerKind, work_order
from dispatch_mcp.process import child_environment
from dispatch_mcp.review import answer_form, answer_parser
from dispatch_mcp.runs import handoff_schema
from dispatch_mcp.workers.anthropic import api_login, api_worker
from dispatch_mcp.workers.claude import claude_worker

pytestmark = pytest.mark.anyio

FAIL: dict[str, Any] = {
    "verdict": "FAIL",
    "findings": [{"severity": "high", "file": "a.py", "line": 1, "quote": "é", "claim": "", "evidence": "", "fix": ""}],
}
IN_WORDS = f"I looked.\n```json\n{json.dumps(FAIL)}\n```\nThat is all."


def order(workspace: Path, worker: WorkerKind, *steps: dict[str, Any], is_review: bool = True) -> work_order.WorkOrder:
    task = model.Task(id="critic", do=f"Review. {fake_provider.script(*steps)}")
    form: dict[str, Any] = {
        "answer_form": answer_form.FORM,
        "schema": answer_form.SCHEMA,
        "schema_form": answer_form.SCHEMA_FORM,
    }
    return work_order.WorkOrder("run-1", task, 1, worker, workspace=str(workspace), **(form if is_review else {}))


async def by_api(fake: fake_provider.Provider, asked: work_order.WorkOrder) -> model.Outcome:
    login = api_login.Login.from_env(fake.env())
    worker = api_worker.AnthropicWorker(login, task_kinds.brief, prices.dollars, worker_setup.file_access())
    with anyio.fail_after(120):
        return await worker.carry_out(FakeContext(), asked)


async def by_claude(claude: claude_double.Double, home: Path, asked: work_order.WorkOrder) -> model.Outcome:
    policy = child_environment.ChildPolicy({"PATH": f"{claude.folder}{os.pathsep}{os.environ['PATH']}"})
    worker = claude_worker.ClaudeWorker(home / "state", policy, task_kinds.brief, prices.dollars)
    with anyio.fail_after(120):
        return await worker.carry_out(FakeContext(), asked)


def read(outcome: model.Outcome) -> tuple[str | None, int]:
    """Returns what the council makes of an outcome: the verdict, and how many findings."""
    assert outcome.state is AttemptState.SUCCEEDED, outcome.error
    report = answer_parser.report("critic", answer_parser.answer_of(outcome))
    return report.verdict, len(report.findings)


async def test_the_api_holds_a_review_to_its_schema_and_is_told_of_nothing_else(
    provider: fake_provider.Provider, tmp_path: Path
) -> None:
    outcome = await by_api(provider, order(tmp_path, WorkerKind.API, {"json": FAIL}))
    [request] = provider.requests()
    body = request["body"]
    assert body["output_config"]["format"] == {"type": "json_schema", "schema": answer_form.SCHEMA}
    prompt = json.dumps(body["messages"])
    assert json.dumps(answer_form.SCHEMA_FORM)[1:-1] in prompt
    assert "```json" not in prompt
    assert "open_questions" not in json.dumps(body["system"])
    assert json.loads(str(outcome.output)) == FAIL
    assert read(outcome) == ("FAIL", 1)


@pytest.mark.parametrize(
    "step",
    [{"text": IN_WORDS}, {"json": {"result": FAIL}}, fake_provider.done(answer=IN_WORDS)],
    ids=["words and a block", "wrapped", "a handoff"],
)
async def test_an_answer_in_another_form_is_passed_on_as_it_is(
    provider: fake_provider.Provider, tmp_path: Path, step: dict[str, Any]
) -> None:
    assert read(await by_api(provider, order(tmp_path, WorkerKind.API, step))) == ("FAIL", 1)


async def test_no_answer_is_no_review(provider: fake_provider.Provider, tmp_path: Path) -> None:
    outcome = await by_api(provider, order(tmp_path, WorkerKind.API, {"text": " "}))
    assert (outcome.state, outcome.error_kind) == (AttemptState.FAILED, "no_handoff")


async def test_work_is_held_to_the_handoff_as_before(provider: fake_provider.Provider, tmp_path: Path) -> None:
    outcome = await by_api(provider, order(tmp_path, WorkerKind.API, {"text": IN_WORDS}, is_review=False))
    [request] = provider.requests()
    assert request["body"]["output_config"]["format"]["schema"] == handoff_schema.SCHEMA
    assert outcome.error_kind == "no_handoff"


@pytest.mark.parametrize(
    ("row", "verdict"),
    [
        ({"structured_output": FAIL, "result": "Done."}, "FAIL"),
        ({"structured_output": None, "result": IN_WORDS}, "FAIL"),
        ({"structured_output": None, "result": "VERDICT: PASS\nFINDINGS: none"}, "PASS"),
    ],
    ids=["held to it", "in words", "never met"],
)
async def test_claude_code_is_given_the_schema_and_its_last_words_count_where_it_was_not_met(
    tmp_path: Path, row: dict[str, Any], verdict: str
) -> None:
    claude = claude_double.Double(tmp_path / "bin")
    claude.plays({"rows": [*claude_double.asked(1), claude_double.result(**row)]})
    outcome = await by_claude(claude, tmp_path, order(tmp_path, WorkerKind.CLAUDE))
    [call] = claude.calls
    [schema] = [word for word in call["argv"] if word.startswith("--json-schema=")]
    assert json.loads(schema.partition("=")[2]) == answer_form.SCHEMA
    assert answer_form.SCHEMA_FORM in call["stdin"]
    assert read(outcome)[0] == verdict


async def test_claude_code_that_says_nothing_at_all_has_not_reviewed(tmp_path: Path) -> None:
    claude = claude_double.Double(tmp_path / "bin")
    claude.plays({"rows": [*claude_double.asked(1), claude_double.result(structured_output=None, result=None)]})
    outcome = await by_claude(claude, tmp_path, order(tmp_path, WorkerKind.CLAUDE))
    assert (outcome.state, outcome.error_kind) == (AttemptState.FAILED, "no_handoff")
