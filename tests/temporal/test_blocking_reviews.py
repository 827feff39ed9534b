"""Reviews and reports of an assistant in runs whose other work goes through Temporal."""

from __future__ import annotations

from pathlib import Path

import anyio
import engine_labs
import pytest
import reviewed_runs
from reviewed_runs import BETTER, FIX, PASS, verdict

pytestmark = [pytest.mark.anyio, pytest.mark.timeout(600)]

BUILD = {"id": "build", "do": "Build it", "deps": ["fix"], "command": ["git", "status", "--short"]}


async def test_work_that_a_review_blocks_holds_back_what_temporal_would_do_until_it_is_mended(
    lab: engine_labs.Lab, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TEMPORAL_ADDRESS", lab.address)
    workspace = reviewed_runs.shop(tmp_path / "shop")
    engine = "temporal" if lab.address else "embedded"
    async with reviewed_runs.opened(tmp_path / "state", workspace, engine=engine) as chat:
        await chat.begin(FIX, BUILD)
        (workspace / "app/cart.py").write_text(BETTER)
        await chat.report("fix")
        await chat.report("fix.review", verdict("FAIL", "critical"))
        states = await chat.states()
        assert (states["fix"], states["build"]) == ("running", "blocked")
        (workspace / "CHANGES.md").write_text("# Changes\n\nTotals are right.\n")
        await chat.report("fix")
        await chat.report("fix.review", PASS)
        with anyio.fail_after(120):
            async for event in chat.app.engine.events(chat.run_id):
                if event.kind == "attempt_finished" and event.task_id == "build":
                    break
        assert (await chat.states())["build"] == "succeeded"
