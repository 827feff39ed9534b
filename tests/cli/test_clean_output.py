"""S10 at a shell: no command prints a secret that an older state file holds, in no view and no format."""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import Iterator
from pathlib import Path

import anyio
import memory_client
import pytest
import store_setup

from dispatch_mcp import __main__ as program
from dispatch_mcp import model
from dispatch_mcp.cli import arguments, clean_output
from dispatch_mcp.cli import program as cli_program
from dispatch_mcp.model import records, transitions
from dispatch_mcp.store import owner_locks, sqlite_store
from dispatch_mcp.text import redaction

pytestmark = pytest.mark.promise("S10")

TOKEN = "ghp" + "_" + "a1" + "B2c3" * 9
VALUE = "correct horse 7 battery"
BOTH = f"{TOKEN} and {VALUE}"

VIEWS = ("summary", "timeline", "results", "artifacts", "todo", "mermaid")
LOOKS: list[list[str]] = [
    ["status"],
    ["status", "--all"],
    ["status", "run"],
    ["trace", "run"],
    *(["trace", "run", "--view", view] for view in VIEWS),
    ["doctor"],
    ["install"],
    ["install", BOTH],
    ["uninstall", "--dry-run"],
    ["completion", BOTH],
    ["config"],
    ["config", "--origin"],
    ["route", BOTH],
    ["approve", "run"],
    ["limit", "run", "--minutes", "5"],
    ["apply", "run"],
    ["steer", "pause", "run", "--reason", BOTH],
    ["steer", "cancel", "run", "--reason", BOTH],
    ["waive", "run", BOTH, "--reason", BOTH],
    ["review", "--run", "run", BOTH],
    ["plan", "plan.json"],
    ["plan", BOTH],
    ["run", "plan.json", "--dry-run"],
    ["worktrees"],
    ["where"],
    ["prune", "--dry-run"],
    ["token"],
    ["token", "remove", BOTH],
    ["agents"],
    ["agents", "show", BOTH],
    ["agents", "learned"],
    ["context", BOTH],
    ["worker", "--until-idle"],
    ["notify"],
    [BOTH],
]
NOT_PRINTING = frozenset({"serve", "demo", "hook", "statusline", "watch"})
"""`serve` speaks MCP, whose answers have a test of their own; `demo` shows a project of its own; `watch` waits for the
end of a run, and its screen has a test of its own."""


def planted() -> model.Plan:
    task = model.Task(
        id="a",
        do=BOTH,
        constraints=(BOTH,),
        output=(BOTH,),
        context=(f"file:{TOKEN}",),
        files=(f"{TOKEN}.txt",),
        acceptance=(f"command: echo {TOKEN}",),
        inputs={"text": BOTH, "password": VALUE, TOKEN: [BOTH]},
    )
    person = model.Task(id="b", do=BOTH, worker=model.WorkerKind.HUMAN, deps=("a",))
    return model.Plan(id="plan", tasks=(task, person), request=BOTH)


async def old_state(home: Path, workspace: Path) -> None:
    """Leaves a state file as a version left it that stored what it was given."""
    plan = planted().model_copy(update={"workspace": str(workspace)})
    handoff = model.Handoff(completed_work=BOTH, decisions_made=(BOTH,), open_questions=(BOTH,))
    async with sqlite_store.open_store(home) as store:
        await store.save_plan(plan, records.LOCAL)
        await store.create_run(
            store_setup.new_run("run", principal=records.LOCAL, workspace=str(workspace), request_key=BOTH)
        )
        with owner_locks.OwnerLock(home) as lock:
            epoch = await store.adopt("run", lock.id)
            owner = records.Owner(lock.id, epoch or 0)
            [start] = (await store.advance("run", store_setup.step(owner))).starts
            done = store_setup.done(BOTH, handoff=handoff)
            note = transitions.NewEvent("noted", data={"why": BOTH, TOKEN: BOTH})
            await store.advance("run", store_setup.step(owner, store_setup.report(start, done), notes=[note]))
            await store.release(lock.id)
        for kind in ("request", "information"):
            await store.send(model.Message(run_id="run", sender=BOTH, recipient="b", kind=kind, text=BOTH))


@pytest.fixture
def shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    shop = memory_client.repository(tmp_path / "shop")
    home = tmp_path / "home"
    monkeypatch.chdir(shop)
    monkeypatch.setenv("DISPATCH_MCP_HOME", str(home))
    monkeypatch.setenv("DISPATCH_MCP_WORKSPACE", str(shop))
    monkeypatch.setenv("SHOP_PASSWORD", VALUE)
    anyio.run(old_state, home, shop)
    (shop / "plan.json").write_text(json.dumps({"tasks": [{"id": "a", "do": BOTH, "inputs": {"key": BOTH}}]}))
    yield shop
    clean_output.use(redaction.Redactor())


def test_every_command_is_looked_at() -> None:
    assert arguments.COMMANDS.keys() - {look[0] for look in LOOKS} == NOT_PRINTING


@pytest.mark.parametrize("look", LOOKS, ids=lambda look: " ".join(look)[:40])
def test_no_command_prints_a_secret(shop: Path, capfd: pytest.CaptureFixture[str], look: list[str]) -> None:
    texts: list[str] = []
    for extra in ([], ["--json"]):
        with contextlib.suppress(SystemExit):  # wrong usage, which argparse tells about
            cli_program.main([*look, *extra], program.command)
        texts += capfd.readouterr()
    assert any(texts), shop
    for text in texts:
        flat = re.sub(r"\s+", " ", text)
        assert TOKEN not in flat
        assert VALUE not in flat
