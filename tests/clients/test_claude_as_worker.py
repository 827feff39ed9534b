"""The claude worker with the real Claude Code on a fake provider."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import anyio
import claude_lab
import fake_provider
import pytest
import rogue_processes
from fake_provider import done
from worker_conformance import FakeContext

from dispatch_mcp import model
from dispatch_mcp.model import AttemptState, transitions

pytestmark = pytest.mark.anyio


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    folder = tmp_path / "workspace"
    folder.mkdir()
    (folder / "notes.txt").write_text("hello\n")
    (tmp_path / "outside.txt").write_text("not yours\n")
    return folder


async def carried_out(worker: Any, asked: Any, ctx: FakeContext | None = None) -> model.Outcome:
    with anyio.fail_after(120):
        return await worker.carry_out(ctx or FakeContext(attempt=asked.attempt), asked)


def names_in(folder: Path) -> list[str]:
    return sorted(entry.name for entry in folder.iterdir())


def answers(fake: fake_provider.Provider) -> str:
    return json.dumps([one["body"]["messages"] for one in fake.requests()])


async def test_it_reads_answers_in_the_form_asked_for_and_costs_what_is_charged(
    provider: fake_provider.Provider, tmp_path: Path, workspace: Path
) -> None:
    read = {"tool": "Read", "input": {"file_path": str(workspace / "notes.txt")}}
    asked = claude_lab.work(workspace, read, done(decisions_made=["as said"]), agent_prompt="You are the reviewer.")
    outcome = await carried_out(claude_lab.worker(provider, tmp_path / "home"), asked)
    assert outcome.state is AttemptState.SUCCEEDED, outcome.error
    assert (outcome.handoff.completed_work, outcome.output) == ("It is done.", "The whole answer.")
    assert outcome.handoff.decisions_made == ("as said",)
    assert "hello" in answers(provider)
    assert outcome.usage.cost_usd == pytest.approx(provider.booked(), abs=1e-6)
    first = provider.requests()[0]["body"]
    assert "You are the reviewer." in json.dumps(first["system"])
    assert {"Read", "Glob", "Grep"} <= {tool["name"] for tool in first["tools"]}
    assert not {"Bash", "Edit", "Write", "Agent", "Task", "WebFetch"} & {tool["name"] for tool in first["tools"]}


@pytest.mark.promise("S8")
async def test_without_a_directory_of_its_own_it_changes_nothing_and_nothing_outside_is_read(
    provider: fake_provider.Provider, tmp_path: Path, workspace: Path
) -> None:
    steps = [
        {"tool": "Write", "input": {"file_path": str(workspace / "new.txt"), "content": "x"}},
        {"tool": "Bash", "input": {"command": "touch bash.txt", "description": "x"}},
        {"tool": "Read", "input": {"file_path": str(tmp_path / "outside.txt")}},
        done(),
    ]
    outcome = await carried_out(claude_lab.worker(provider, tmp_path / "home"), claude_lab.work(workspace, *steps))
    assert outcome.state is AttemptState.SUCCEEDED, outcome.error
    assert names_in(workspace) == ["notes.txt"]
    assert "not yours" not in answers(provider)


@pytest.mark.promise("S8")
async def test_in_a_directory_of_its_own_it_writes_there_and_nowhere_else(
    provider: fake_provider.Provider, tmp_path: Path, workspace: Path
) -> None:
    steps = [
        {"tool": "Write", "input": {"file_path": str(workspace / "new.txt"), "content": "mine"}},
        {"tool": "Write", "input": {"file_path": str(tmp_path / "evil.txt"), "content": "x"}},
        {"tool": "Bash", "input": {"command": "touch bash.txt", "description": "x"}},
        done(),
    ]
    asked = claude_lab.work(workspace, *steps, directory=str(workspace))
    outcome = await carried_out(claude_lab.worker(provider, tmp_path / "home"), asked)
    assert outcome.state is AttemptState.SUCCEEDED, outcome.error
    assert (workspace / "new.txt").read_text() == "mine"
    assert names_in(workspace) == ["new.txt", "notes.txt"]
    assert not (tmp_path / "evil.txt").exists()
    assert "Write" in outcome.handoff.open_questions[-1]


@pytest.mark.promise("R11")
@pytest.mark.parametrize(
    ("step", "kind", "retryable"),
    [
        ({"error": 400}, "bad_request", False),
        ({"error": 401}, "not_logged_in", False),
        ({"error": 429}, transitions.RATE_LIMIT, True),
        ({"error": 529}, transitions.RATE_LIMIT, True),
    ],
)
async def test_what_the_provider_refuses_has_the_same_name_as_for_the_api_worker(
    provider: fake_provider.Provider,
    tmp_path: Path,
    workspace: Path,
    *,
    step: dict[str, Any],
    kind: str,
    retryable: bool,
) -> None:
    outcome = await carried_out(claude_lab.worker(provider, tmp_path / "home"), claude_lab.work(workspace, step))
    assert (outcome.state, outcome.error_kind, outcome.retryable) == (AttemptState.FAILED, kind, retryable)


async def test_limits_and_answers_without_the_form_are_failures(
    provider: fake_provider.Provider, tmp_path: Path, workspace: Path
) -> None:
    read = {"tool": "Read", "input": {"file_path": str(workspace / "notes.txt")}, "usage": {"output_tokens": 20_000}}
    worker = claude_lab.worker(provider, tmp_path / "home", max_turns=2)
    turns = await carried_out(worker, claude_lab.work(workspace, *[read] * 5, run_id="turns"))
    assert turns.error_kind == "max_turns"
    ceiling = model.TaskLimits(dollars=0.1)
    dear = await carried_out(worker, claude_lab.work(workspace, *[read] * 5, run_id="dear", ceiling=ceiling))
    assert dear.error_kind == "budget"
    formless = await carried_out(worker, claude_lab.work(workspace, *[{"text": "no"}] * 9, run_id="formless"))
    assert formless.error_kind in ("no_handoff", "max_turns")


async def test_a_deadline_stops_it_and_the_next_attempt_resumes_at_no_extra_cost(
    provider: fake_provider.Provider, tmp_path: Path, workspace: Path
) -> None:
    read = {"tool": "Read", "input": {"file_path": str(workspace / "notes.txt")}}
    worker, ctx = claude_lab.worker(provider, tmp_path / "home"), FakeContext()
    first = await carried_out(worker, claude_lab.work(workspace, read, {"hang": True}, timeout_s=6.0), ctx)
    assert first.state is AttemptState.TIMED_OUT
    provider.rules({"match": {"user": "Go on"}, "steps": [done()]})
    again = claude_lab.work(workspace, attempt=2, last_error=first.error, last_beat=ctx.beats[-1])
    second = await carried_out(worker, again)
    assert second.state is AttemptState.SUCCEEDED, second.error
    assert first.usage.cost_usd
    assert first.usage.cost_usd + (second.usage.cost_usd or 0.0) == pytest.approx(provider.booked(), abs=1e-6)
    assert "hello" in json.dumps(provider.requests()[-1]["body"]["messages"])


PLAY = """
import json, os, sys
from pathlib import Path
import anyio
sys.path[:0] = json.loads(sys.argv[2])
import claude_lab, fake_provider
class Ctx:
    run_id, task_id, attempt, last_beat, blobs = "run-1", "t1", 1, {}, None
    details = {}
    def beat(self, **details):
        if details:
            self.details.update(details)
            new = Path(sys.argv[1], "beat.new")  # a kill between the two leaves the last one whole
            new.write_text(json.dumps(self.details))
            new.replace(new.with_name("beat"))
folder = Path(sys.argv[1])
steps = json.loads(sys.argv[4])
worker = claude_lab.worker(fake_provider.Provider(sys.argv[3]), folder / "home")
anyio.run(worker.carry_out, Ctx(), claude_lab.work(folder / "workspace", *steps))
"""


@pytest.mark.promise("R10")
async def test_no_orphan_of_a_killed_server_spends_money_and_the_session_is_resumed(
    provider: fake_provider.Provider, tmp_path: Path, workspace: Path
) -> None:
    here = Path(__file__).parent
    steps = [{"tool": "Read", "input": {"file_path": str(workspace / "notes.txt")}}, {"hang": True}]
    path = json.dumps([str(here), str(here.parent / "support")])
    argv = [sys.executable, "-c", PLAY, str(tmp_path), path, provider.url, json.dumps(steps)]
    env = {**claude_lab.variables(provider, tmp_path / "home"), "DISPATCH_MCP_CLIENTS": claude_lab.PROGRAM}
    with subprocess.Popen(argv, env=env) as server:  # noqa: ASYNC220 - it starts in no time
        with anyio.fail_after(120):
            await rogue_processes.until(lambda: len(provider.requests()) == 2)
        note = tmp_path / "home" / "state" / "runs" / "run-1" / "t1" / "1" / "pid"
        pid = int(json.loads(note.read_text())["pid"])
        server.kill()
    with anyio.fail_after(120):
        await rogue_processes.all_dead([pid])
    beat = json.loads((tmp_path / "beat").read_text())
    provider.rules({"match": {"user": "Go on"}, "steps": [done()]})
    outcome = await carried_out(
        claude_lab.worker(provider, tmp_path / "home"), claude_lab.work(workspace, attempt=2, last_beat=beat)
    )
    assert outcome.state is AttemptState.SUCCEEDED, outcome.error
    assert "hello" in json.dumps(provider.requests()[-1]["body"]["messages"])
    assert outcome.usage.cost_usd == pytest.approx(provider.booked(), abs=1e-6)


async def test_a_cancelled_attempt_leaves_no_process(
    provider: fake_provider.Provider, tmp_path: Path, workspace: Path
) -> None:
    worker, pid = claude_lab.worker(provider, tmp_path / "home"), 0
    with anyio.fail_after(120):
        async with anyio.create_task_group() as group:
            group.start_soon(worker.carry_out, FakeContext(), claude_lab.work(workspace, {"hang": True}))
            await rogue_processes.until(lambda: bool(provider.requests()))
            note = tmp_path / "home" / "state" / "runs" / "run-1" / "t1" / "1" / "pid"
            pid = int(json.loads(note.read_text())["pid"])
            group.cancel_scope.cancel()
    assert rogue_processes.survivors([pid]) == []
