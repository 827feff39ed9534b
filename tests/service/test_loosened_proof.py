"""Proof that was asked for and that an edit took out while the run went on: its end tells of it wherever it is told."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import anyio
import command_runs
import pytest
import reviewed_runs
from reviewed_runs import BETTER, Chat

from dispatch_mcp import composition, configuration
from dispatch_mcp.cli import shell_wording
from dispatch_mcp.mcp_server import tool_wording
from dispatch_mcp.runs import step_choice

WORK: dict[str, Any] = {
    "id": "fix",
    "do": "Make the totals right",
    "files": ["app/cart.py"],
    "acceptance": ["file:tests/cart.py", "diff"],
    "attempts": 1,
}
TEXT = "PROOF TAKEN OUT by an edit during the run: 'fix': `file:tests/cart.py`."


async def edited(chat: Chat, *edits: dict[str, Any]) -> None:
    plan = await chat.app.store.plan((await chat.trace()).plan_id, principal="local")
    await chat.app.plans.edit(plan.id, plan.version, list(edits))


def modified(*acceptance: str) -> dict[str, Any]:
    return {"op": "modify", "id": "fix", "task": {"acceptance": list(acceptance)}}


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("edits", "is_told"),
    [
        ([modified("diff")], True),
        ([modified("diff"), modified("diff", "file:tests/cart.py")], False),
        ([modified("diff", "file:tests/cart.py", "file:app/cart.py")], False),
    ],
    ids=["taken out", "asked for again", "asked for more"],
)
async def test_the_answer_to_the_last_report_and_every_trace_say_what_was_taken_out(
    tmp_path: Path, edits: list[dict[str, Any]], *, is_told: bool
) -> None:
    workspace = reviewed_runs.shop(tmp_path / "shop")
    async with reviewed_runs.opened(tmp_path / "state", workspace, reviews="none") as chat:
        await chat.begin(WORK)
        (workspace / "app/cart.py").write_text(BETTER)
        assert (await chat.report("fix")).state.value == "failed"
        for edit in edits:
            await edited(chat, edit)
        await chat.app.steer(chat.run_id, "retry", "fix", "")
        if not is_told:
            (workspace / "tests").mkdir()
            (workspace / "tests/cart.py").write_text("assert True\n")
        ended = await chat.report("fix")
        assert ended.state.value == "succeeded"
        for step in (ended.next, (await chat.trace()).next, (await chat.trace("results")).next):
            assert step is not None
            for words in (tool_wording.words(step), shell_wording.words(step)):
                assert words.startswith(TEXT) == is_told
                assert (step_choice.DONE in words) != is_told


@pytest.mark.anyio
async def test_work_that_failed_and_is_replaced_by_work_that_proves_nothing_is_told_of(tmp_path: Path) -> None:
    workspace = reviewed_runs.shop(tmp_path / "shop")
    async with reviewed_runs.opened(tmp_path / "state", workspace, reviews="none") as chat:
        await chat.begin(WORK, {"id": "look", "do": "Look at the totals", "agent": "coder"})
        for name in ("fix", "look"):
            await chat.report(name, status="failed", error="no idea")
        await edited(chat, {"op": "remove", "id": "fix"})
        await chat.app.steer(chat.run_id, "retry", "look", "")
        ended = await chat.report("look")
        assert ended.next is not None
        assert ended.next.proof_losses == ("'fix': `file:tests/cart.py`, `diff`, `a change of its files`",)


async def loosen(home: Path, run_id: str, workspace: Path) -> None:
    settings = configuration.load({}, flags={"home": home, "workspace": workspace}, cwd=workspace).settings
    async with composition.open_dispatcher(settings) as app:
        trace = await app.trace(run_id=run_id)
        edit: dict[str, Any] = {"op": "modify", "id": "a", "task": {"acceptance": []}}
        await app.plans.edit(trace.plan_id, trace.plan_version, [edit])
        await app.steer(run_id, "retry", "a", "", by_person=True)


def test_the_last_line_of_run_and_status_and_the_result_document_say_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    workspace = reviewed_runs.shop(tmp_path / "shop")
    monkeypatch.setenv("DISPATCH_MCP_WORKSPACE", str(workspace))
    monkeypatch.setenv("DISPATCH_MCP_HOME", str(tmp_path / "state"))
    shell = command_runs.shell(monkeypatch, capsys)
    task = {"id": "a", "do": "List", "command": ["git", "ls-files"], "acceptance": ["file:b.txt"], "max_attempts": 1}
    document = command_runs.written(tmp_path, [task])
    failed = shell("run", document)
    assert failed.code == 1
    anyio.run(loosen, tmp_path / "state", failed.json["correlation_id"], workspace)
    ended = shell("run", document)
    told = "PROOF TAKEN OUT by an edit during the run: 'a': `file:b.txt`."
    assert (ended.code, ended.json["proof_taken_out"]) == (0, ["'a': `file:b.txt`"])
    assert ended.err.splitlines()[-1].startswith(told)
    assert told in shell("status", ended.json["correlation_id"]).out
