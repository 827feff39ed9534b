"""Two people at once, one with an assistant over stdio, one at the dashboard: each sees what the other does."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import anyio
import memory_client
import news_listener
import pytest
import raw_server
from mcp import StdioServerParameters

from dispatch_mcp import composition
from dispatch_mcp.cli import shell_wording
from dispatch_mcp.pages import live_pictures
from dispatch_mcp.text import redaction

pytestmark = [pytest.mark.anyio, pytest.mark.filterwarnings("ignore::mcp.MCPDeprecationWarning")]

WRITE: dict[str, Any] = {"id": "write", "do": "Write the form"}
STATES = (("pause", "paused"), ("resume", "running"), ("pause", "paused"), ("cancel", "cancelled"))


@pytest.mark.parametrize("era", memory_client.ERAS)
async def test_each_commit_of_either_comes_to_both_while_they_watch(tmp_path: Path, era: str) -> None:
    home, shop = tmp_path / "state", memory_client.repository(tmp_path / "shop")
    assistant = StdioServerParameters(
        command=sys.executable, args=["-m", "dispatch_mcp"], env=raw_server.environment(home, shop), cwd=shop
    )
    async with composition.open_dispatcher(memory_client.settings(home, shop)) as app:

        async def of_request() -> Any:
            return app

        dashboard = live_pictures.LivePictures(of_request, shell_wording.words, redaction.Redactor())
        plan = (await app.plans.plan([WRITE])).plan
        run = (await app.dispatch(plan_id=plan.id, worker="host")).run_id
        uri = f"dispatch://runs/{run}"
        async with news_listener.listening(assistant, era, [uri]) as listener:
            for turn, (action, state) in enumerate(STATES):
                seen = await dashboard.run(run)
                pictures: list[dict[str, Any]] = []

                async def watch(picture: dict[str, Any] = seen, pictures: list[dict[str, Any]] = pictures) -> None:
                    pictures.append(await dashboard.run(run, picture["events"][-1][0], picture["revision"]))

                with anyio.fail_after(120):
                    async with anyio.create_task_group() as group:
                        group.start_soon(watch)
                        if turn % 2:
                            await app.steer(run, action, "", "")  # type: ignore[arg-type]
                        else:
                            await listener.desk.call("steer_run", run_id=run, action=action)
                assert pictures[0]["run"]["state"] == state
                assert await listener.next() == uri
                assert (await listener.desk.call("get_trace", run_id=run))["state"] == state
