"""Decisions by elicitation: through a real client, in both protocol eras."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import memory_client
import pytest
from mcp.types import ElicitResult, ErrorData

from dispatch_mcp import configuration, errors
from dispatch_mcp.cli import person_acts

pytestmark = pytest.mark.anyio

GATE = {"id": "gate", "do": "May we go on?", "worker": "human"}
WORK = {"id": "work", "do": "Write the page", "deps": ["gate"]}
OTHER = {"id": "other", "do": "Write the footer"}


def chosen(tmp_path: Path) -> configuration.Settings:
    return memory_client.settings(tmp_path / "home", memory_client.repository(tmp_path / "shop"))


def answering(asked: list[str], action: str, **content: str) -> Any:
    async def answer(_context: object, params: Any) -> ElicitResult:
        asked.append(params.message)
        return ElicitResult(action=action, content=content or None)  # type: ignore[arg-type]

    return answer


@pytest.mark.parametrize("era", memory_client.ERAS)
@pytest.mark.parametrize(
    ("action", "decision", "state"),
    [
        ("accept", "approve", "running"),
        ("accept", "reject", "failed"),
        ("accept", "later", "waiting_input"),
        ("decline", "", "waiting_input"),
        ("cancel", "", "waiting_input"),
    ],
)
async def test_the_client_asks_the_user(tmp_path: Path, era: str, action: str, decision: str, state: str) -> None:
    asked: list[str] = []
    content = {"decision": decision} if decision else {}
    answer = answering(asked, action, **content)
    async with memory_client.desk(
        memory_client.make_server(chosen(tmp_path)), era, elicitation_callback=answer
    ) as desk:
        plan_id = await desk.planned(GATE, WORK)
        run_id = (await desk.call("dispatch", plan_id=plan_id))["run_id"]
        assert asked == []
        progress = await desk.call("dispatch", run_id=run_id)
        assert progress["state"] == state
        assert len(asked) == 1
        assert "May we go on?" in asked[0]
        assert [one["task_id"] for one in progress.get("assignments", [])] == (["work"] if state == "running" else [])


async def test_a_client_that_answers_a_question_with_an_error_leaves_the_run_waiting_and_gets_the_rest(
    tmp_path: Path,
) -> None:
    questions: list[str] = []

    async def refuse(_context: object, params: Any) -> ErrorData:
        questions.append(params.message)
        return ErrorData(code=-32000, message="the form broke")

    server = memory_client.make_server(chosen(tmp_path))
    async with memory_client.desk(server, "legacy", elicitation_callback=refuse) as desk:
        run_id = (await desk.call("dispatch", plan_id=await desk.planned(GATE, WORK, OTHER)))["run_id"]
        progress = await desk.call("dispatch", run_id=run_id)
    assert len(questions) == 1
    assert [task["task_id"] for task in progress["assignments"]] == ["other"]
    assert "the form broke" not in str(progress)


@pytest.mark.parametrize("era", memory_client.ERAS)
async def test_a_client_that_cannot_ask_leaves_the_run_waiting(tmp_path: Path, era: str) -> None:
    async with memory_client.desk(memory_client.make_server(chosen(tmp_path)), era) as desk:
        run_id = (await desk.call("dispatch", plan_id=await desk.planned(GATE, WORK)))["run_id"]
        progress = await desk.call("dispatch", run_id=run_id)
        assert progress["state"] == "waiting_input"
        assert "approve" in progress["next"]


async def test_no_argument_stands_for_the_user(tmp_path: Path) -> None:
    async with memory_client.desk(memory_client.make_server(chosen(tmp_path))) as desk:
        run_id = (await desk.call("dispatch", plan_id=await desk.planned(GATE, WORK)))["run_id"]
        with pytest.raises(memory_client.Refused, match="takes no 'asked'"):
            await desk.call("dispatch", run_id=run_id, asked={"action": "accept", "data": {"decision": "approve"}})


async def test_a_stale_edit_gets_the_difference(tmp_path: Path) -> None:
    async with memory_client.desk(memory_client.make_server(chosen(tmp_path))) as desk:
        plan_id = await desk.planned(GATE, WORK)
        edit = {"op": "add", "id": "more", "task": {"do": "Write the footer"}}
        first = await desk.call("plan_dag", plan_id=plan_id, base_version=1, edits=[edit])
        assert first["changes"]["added"] == ["more"]
        with pytest.raises(memory_client.Refused, match='"added":\\["more"\\]'):
            await desk.call("plan_dag", plan_id=plan_id, base_version=1, edits=[{"op": "remove", "id": "work"}])


def test_an_assistants_shell_does_not_approve() -> None:
    with pytest.raises(errors.NotAllowed, match="CLAUDECODE"):
        person_acts.refuse_assistants({"CLAUDECODE": "1"}, terminal=False)
    person_acts.refuse_assistants({"CLAUDECODE": "1"}, terminal=True)
    person_acts.refuse_assistants({}, terminal=False)
