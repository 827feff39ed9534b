"""Merged changes come into the checkout through a client only when its user says so."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import anyio
import memory_client
import pytest
from mcp.types import ElicitResult

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.skipif(sys.platform == "win32", reason="programs are supervised on POSIX only"),
]

COMMAND = ["python", "-c", "open('README.md', 'a').write('Open all day.\\n')"]
TASK = {"id": "t", "do": "Add a line", "files": ["README.md"], "isolation": "worktree", "command": COMMAND}


def git(at: Path, *arguments: str) -> str:
    return subprocess.run(["git", *arguments], cwd=at, check=True, capture_output=True, text=True).stdout.strip()


async def merged(desk: memory_client.Desk) -> str:
    """Runs a task that changes a file and returns the run."""
    run_id: str = (await desk.call("dispatch", plan_id=await desk.planned(TASK)))["run_id"]
    with anyio.fail_after(120):
        summary = await desk.finished(run_id)
    assert summary["state"] == "succeeded"
    assert "steer_run(action='apply')" in summary["next"]
    return run_id


@pytest.mark.slice(2)
@pytest.mark.parametrize("era", memory_client.ERAS)
@pytest.mark.parametrize(
    ("action", "decision", "applied"),
    [("accept", "apply", True), ("accept", "keep", False), ("decline", "", False), ("cancel", "", False)],
)
async def test_only_the_users_word_brings_changes_into_the_checkout(
    tmp_path: Path, era: str, action: str, decision: str, *, applied: bool
) -> None:
    asked: list[str] = []

    async def answer(_context: object, params: Any) -> ElicitResult:
        asked.append(params.message)
        return ElicitResult(action=action, content={"decision": decision} if decision else None)  # type: ignore[arg-type]

    shop = memory_client.repository(tmp_path / "shop")
    before = (shop / "README.md").read_text()
    server = memory_client.make_server(memory_client.settings(tmp_path / "home", shop))
    async with memory_client.desk(server, era, elicitation_callback=answer) as desk:
        run_id = await merged(desk)
        with pytest.raises(memory_client.Refused, match="Would apply 1 commit") as told:
            await desk.call("steer_run", run_id=run_id, action="apply")
        revision = str(told.value).split("task_id='")[1].split("'")[0]
        assert (shop / "README.md").read_text() == before
        if applied:
            done = await desk.call("steer_run", run_id=run_id, action="apply", task_id=revision)
            assert (done["applied"], done["files"]) == (True, ["README.md"])
        else:
            with pytest.raises(memory_client.Refused, match="no user said so"):
                await desk.call("steer_run", run_id=run_id, action="apply", task_id=revision)
    assert (shop / "README.md").read_text() == before + "Open all day.\n" * applied
    assert len(asked) == 1
    assert revision in asked[0]
    assert "README.md" in asked[0]


async def test_a_client_that_cannot_ask_and_another_revision_change_nothing(tmp_path: Path) -> None:
    shop = memory_client.repository(tmp_path / "shop")
    before = (shop / "README.md").read_text()
    async with memory_client.desk(memory_client.make_server(memory_client.settings(tmp_path / "home", shop))) as desk:
        run_id = await merged(desk)
        revision = git(shop, "for-each-ref", "--format=%(objectname)", "refs/dispatch/*/merged")
        with pytest.raises(memory_client.Refused, match="dispatch-mcp apply"):
            await desk.call("steer_run", run_id=run_id, action="apply", task_id=revision)
        with pytest.raises(memory_client.Refused, match="by now"):
            await desk.call("steer_run", run_id=run_id, action="apply", task_id="0000000")
    assert (shop / "README.md").read_text() == before


async def test_the_look_names_what_is_in_the_way_and_nobody_is_asked_about_it(tmp_path: Path) -> None:
    async def never(_context: object, _params: Any) -> ElicitResult:
        raise AssertionError("nobody should be asked")

    shop = memory_client.repository(tmp_path / "shop")
    write = ["python", "-c", "import os; os.mkdir('local'); open('local/keys.txt', 'w').write('theirs')"]
    task = {**TASK, "files": ["local/keys.txt"], "command": write}
    (shop / ".git" / "info" / "exclude").write_text("local/\n")
    server = memory_client.make_server(memory_client.settings(tmp_path / "home", shop))
    async with memory_client.desk(server, elicitation_callback=never) as desk:
        run_id = (await desk.call("dispatch", plan_id=await desk.planned(task)))["run_id"]
        with anyio.fail_after(120):
            await desk.finished(run_id)
        (shop / "local").mkdir()
        (shop / "local" / "keys.txt").write_text("mine")
        revision = git(shop, "for-each-ref", "--format=%(objectname)", "refs/dispatch/*/merged")
        for words in ({}, {"task_id": revision}):
            with pytest.raises(memory_client.Refused, match=r"written over in `local/keys\.txt`"):
                await desk.call("steer_run", run_id=run_id, action="apply", **words)
    assert (shop / "local" / "keys.txt").read_text() == "mine"
