"""S10 for workers that talk to models: 300 secrets in what they read, say and fail with; none of them is kept."""

# The shapes of secrets lie with the tests of another room, which the type checker does not find.
# pyright: reportMissingImports=false, reportUnknownMemberType=false, reportUnknownVariableType=false
# pyright: reportUnknownArgumentType=false

from __future__ import annotations

import json
import logging
import os
import random
import sys
from pathlib import Path
from typing import Any

import anyio
import fake_provider
import pytest
import store_setup
from claude_double import HANDOFF, Double, result
from fake_provider import done, script

sys.path.insert(0, str(Path(__file__).parents[1] / "text"))
import test_redaction

from dispatch_mcp import composition, configuration
from dispatch_mcp.text import redaction

pytestmark = [pytest.mark.anyio, pytest.mark.promise("S10")]

PLANTED = 300


def secrets() -> list[str]:
    """Returns as many secrets of every shape in turn; a block of lines counts by its lines."""
    rng = random.Random(10)
    shapes = [make for name, make in test_redaction.SHAPES.items() if name != "private-key"]
    return [shapes[place % len(shapes)](rng) for place in range(PLANTED)]


def words(found: list[str]) -> str:
    return "\n".join(f"{number}: {secret};" for number, secret in enumerate(found))


async def test_300_planted_secrets_reach_no_place_where_anything_is_kept(
    provider: fake_provider.Provider, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    planted = secrets()
    parts = [planted[place::6] for place in range(6)]
    project, claude = tmp_path / "project", Double(tmp_path / "bin")
    project.mkdir()
    (project / "config.txt").write_text(words(parts[0]))
    claude.plays(
        {"rows": [result(structured_output={**HANDOFF, "answer": words(parts[3]), "decisions_made": parts[4]})]},
        {"rows": [result(is_error=True, terminal_reason="max_turns", result=words(parts[5]))], "exit": 1},
    )
    for name, value in provider.env(DISPATCH_MCP_CLAUDE_PROGRAM=str(claude.program)).items():
        monkeypatch.setenv(name, value)
    read = {"tool": "read_file", "input": {"path": "config.txt"}}
    tasks: list[dict[str, Any]] = [
        {
            "id": "said",
            "do": f"Work. {script(read, done(answer='{last}', decisions_made=['{last}']))}",
            "worker": "api",
        },
        {"id": "told", "do": f"Work. {script(read, done(answer='{last}'))}", "worker": "api", "deps": ["said"]},
        {"id": "failed", "do": "Break", "worker": "api", "max_attempts": 1},
        {"id": "session", "do": "Work", "worker": "claude", "deps": ["told"]},
        {"id": "broken", "do": "Work", "worker": "claude", "deps": ["session"], "max_attempts": 1},
    ]
    provider.rules(
        {"match": {"user": "Break"}, "steps": [{"error": 400, "message": words(parts[1])}]},
    )
    caplog.set_level(logging.WARNING)
    views = await _views(project, tasks)
    assert sum(secret in json.dumps(provider.requests()) for secret in planted) >= len(parts[0])
    home = Path(os.environ["DISPATCH_MCP_HOME"])
    seen = store_setup.everything_below(home).decode("utf-8", "replace") + views + caplog.text
    assert "[redacted:" in seen
    assert [secret for secret in planted if secret in seen or json.dumps(secret)[1:-1] in seen] == []


async def _views(project: Path, tasks: list[dict[str, Any]]) -> str:
    """Runs the tasks and returns everything that can be asked about them afterwards."""
    settings = configuration.load(os.environ, cwd=project).settings
    redactor = redaction.Redactor(configuration.secret_values(os.environ))
    async with composition.open_dispatcher(settings, chat=False, redactor=redactor) as app:
        plan = await app.plans.plan(tasks)
        run_id = (await app.dispatch(plan_id=plan.plan.id)).run_id
        with anyio.fail_after(120):
            async for _ in app.engine.events(run_id):
                pass
        views = [await app.trace(run_id=run_id, view=view) for view in ("summary", "timeline", "results")]
        tasks_seen = [await app.trace(run_id=run_id, task_id=task["id"], view="results") for task in tasks]
        attempts = await app.store.attempts(run_id)
    assert {one.task_id for one in attempts} == {task["id"] for task in tasks}
    return " ".join([*(view.model_dump_json() for view in (*views, *tasks_seen)), *map(str, attempts)])
