"""Answers of reviewers that stand in several fields of a report: all of them count, whichever holds the verdict."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import reviewed_runs
from reviewed_runs import BETTER, DOCS, FIX, PASS, verdict

pytestmark = pytest.mark.anyio

FAIL = verdict("FAIL", "critical")
HANDOFF: dict[str, Any] = {"completed_work": "I reviewed the totals.", "open_questions": [], "files_modified": []}
PASSES: dict[str, dict[str, Any]] = {
    "a text alone": {"text": PASS},
    "an output alone": {"output": json.loads(PASS)},
    "a handoff that is the form": {"handoff": json.loads(PASS)},
    "a handoff that holds the form": {"handoff": {**HANDOFF, "review": json.loads(PASS)}},
    "a text beside a handoff": {"text": f"I looked.\n\n{PASS}", "handoff": HANDOFF},
    "a short verdict beside the form": {"text": PASS, "handoff": {"verdict": "PASS", "findings": []}},
    "words beside an output": {"text": "Nothing is wrong with it.", "output": json.loads(PASS)},
    "the same twice": {"text": PASS, "output": json.loads(PASS)},
    "lines beside a handoff": {
        "text": "VERDICT: PASS\nFILES: app/cart.py, CHANGES.md\nFINDINGS: none",
        "handoff": HANDOFF,
    },
    "an end of its own": {"text": PASS, "error": "the session was closed", "status": "failed"},
}
OBJECTIONS: dict[str, dict[str, Any]] = {
    "a FAIL in the handoff": {"text": PASS, "handoff": json.loads(FAIL)},
    "a FAIL in a handoff's field": {"text": PASS, "handoff": {**HANDOFF, "review": json.loads(FAIL)}},
    "a FAIL in the handoff's text": {"text": PASS, "handoff": json.dumps(json.loads(FAIL))},
    "a FAIL without findings in the handoff": {"text": PASS, "handoff": {"verdict": "FAIL"}},
    "a question of the handoff": {"text": PASS, "handoff": {**HANDOFF, "open_questions": ["FAIL: it counts lines."]}},
    "a FAIL in the output": {"text": PASS, "output": json.loads(FAIL)},
    "a FAIL in the text": {"text": FAIL, "output": json.loads(PASS)},
    "a FAIL in a line of the text": {"text": "Verdict: FAIL", "output": json.loads(PASS)},
    "a FAIL in the error": {"text": PASS, "error": "FAIL: it counts lines"},
    "a finding in the handoff": {"text": PASS, "handoff": {**HANDOFF, "findings": json.loads(FAIL)["findings"]}},
}


async def goes_on(tmp_path: Path, look: Mapping[str, Any], report: Mapping[str, Any], **flags: Any) -> bool:
    """Returns whether what waits for a look at work begins after a report of that look."""
    workspace = reviewed_runs.shop(tmp_path / "shop")
    async with reviewed_runs.opened(tmp_path / "state", workspace, reviews="none", **flags) as chat:
        await chat.begin(FIX, {"id": "look", "deps": ["fix"], **look}, {**DOCS, "deps": ["look"]})
        (workspace / "app/cart.py").write_text(BETTER)
        await chat.report("fix")
        await chat.report("look", **{"text": "", **report})
        return "docs" in await chat.out()


REVIEW = {"do": "Is it right?", "reviews": ["fix"]}
LOOK = {"do": "Verify the work of fix", "agent": "general-purpose"}


@pytest.mark.parametrize("report", PASSES.values(), ids=PASSES)
@pytest.mark.slice(2)
async def test_a_pass_lets_through_in_whatever_field_of_a_report_it_stands(
    tmp_path: Path, report: dict[str, Any]
) -> None:
    assert await goes_on(tmp_path, REVIEW, report)


@pytest.mark.parametrize("report", OBJECTIONS.values(), ids=OBJECTIONS)
@pytest.mark.slice(2)
async def test_a_pass_beside_a_fail_in_another_field_of_the_report_lets_nothing_through(
    tmp_path: Path, report: dict[str, Any]
) -> None:
    assert not await goes_on(tmp_path, REVIEW, report)


@pytest.mark.parametrize(
    "report",
    [
        {"text": "It is right.", "handoff": json.loads(FAIL)},
        {"text": "Verdict: FAIL", "output": {"score": 3}},
        {"text": "See the handoff.", "handoff": {"completed_work": "FAIL: it counts lines."}},
        {"text": '```json\n{"passed": false, "reason": "it counts lines"}\n```'},
        {"text": "", "output": {"approved": False}},
        {"text": "", "output": {"result": {"passed": "false"}}},
        {"text": '{"passed": false}\nIt counts lines.'},
        {"text": "See the output.", "output": "FAIL"},
        {"text": "### Critical\n- it counts lines"},
        {"text": "It is right.", "output": {"review": json.loads(FAIL)}},
    ],
)
async def test_who_looks_at_work_and_fails_it_in_any_field_holds_back_what_waits(
    tmp_path: Path, report: dict[str, Any]
) -> None:
    assert not await goes_on(tmp_path, LOOK, report)


@pytest.mark.parametrize(
    "report",
    [
        {"text": '```json\n{"rejected": true, "status_code": 401}\n```'},
        {"text": 'PASS\n{"rejected": true}'},
        {"text": 'PASS\n{"check": "a bad token", "passed": false}'},
        {"text": "", "output": {"blocked": True}},
        {"text": '{"fails": true, "log": "AssertionError"}'},
        {"text": '{"critical": true, "module": "core"}'},
        {"text": "Result: rejected, as it should be"},
        {"text": "## Failed\n\nnone\n\n## Passed\n\n- import"},
    ],
)
async def test_who_looks_at_work_and_answers_the_very_question_lets_it_through(
    tmp_path: Path, report: dict[str, Any]
) -> None:
    assert await goes_on(tmp_path, LOOK, report)


async def test_who_looks_at_work_and_says_nothing_against_it_in_any_field_lets_it_through(tmp_path: Path) -> None:
    assert await goes_on(tmp_path, LOOK, {"text": "It is right.", "handoff": HANDOFF, "output": {"score": 3}})
