"""Nothing that a tool is asked keeps the event loop of a server at work for long, through real pipes.

What counts is processor time of the loop's thread in one callback, so a loaded machine changes nothing.
"""

from __future__ import annotations

import json
import resource
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import growth
import loop_probe
import memory_client
import pytest
import raw_server

pytestmark = pytest.mark.promise("R13")

LONGEST_S = 0.02
"""Seconds of processor time that one callback may take: a ping waits no longer for it."""

NOISE = 2
"""How much slower the processor may be for a moment, when its other half is busy."""

SERVERS = 5
"""Servers that are asked the same before a callback is believed to be heavy; what is heavy is so in each of them."""

TASKS, FILES = 5_000, 6_000


@dataclass
class Desk:
    """A server whose loop is measured. `calls` are the calls, with when each began."""

    wire: raw_server.Wire
    report: Path
    calls: list[tuple[float, str]]

    def call(self, label: str, tool: str, **arguments: Any) -> dict[str, Any]:
        self.calls.append((time.time(), label))
        return self.wire.call(tool, **arguments)

    def heaviest(self) -> dict[str, float]:
        """Ends the server and returns the processor time of the heaviest callback of each call."""
        assert self.wire.close() == 0
        heaviest = dict.fromkeys((label for _, label in self.calls), 0.0)
        for callback in loop_probe.read(self.report):
            label = next(label for began, label in reversed(self.calls) if began <= callback.at)
            heaviest[label] = max(heaviest[label], callback.cpu_s)
        return heaviest


@contextmanager
def opened(folder: Path) -> Generator[Desk]:
    folder.mkdir()
    shop = memory_client.repository(folder / "shop")
    report = folder / "callbacks.json"
    probe = [loop_probe.__file__, str(report)]
    env = raw_server.environment(folder / "state", shop)
    with raw_server.Wire(env, shop, python=probe, era="legacy") as wire:
        wire.greet()
        desk = Desk(wire, report, [(0.0, "start")])
        desk.call("start", "plan_dag", tasks=[{"id": "a", "do": "Write a"}])
        yield desk


def done(assignment: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"task_id": assignment["task_id"], "attempt": assignment["attempt"], "text": "Done.", **more}


def too_heavy(talk: Callable[[Desk], None], folder: Path) -> dict[str, float]:
    """Returns the calls after the start, in which modules and agents are loaded, that keep each server too long."""
    heavy: dict[str, float] = {}
    most_s = NOISE * LONGEST_S * growth.slowness()
    for number in range(SERVERS):
        with opened(folder / str(number)) as desk:
            talk(desk)
            heaviest = desk.heaviest()
        del heaviest["start"]
        heavy = {label: cpu_s for label, cpu_s in heaviest.items() if cpu_s > most_s and (label in heavy or not number)}
        if not heavy:
            break
    return heavy


def long_run(desk: Desk) -> None:
    tasks = [{"id": f"t{n}", "do": f"Write module {n}", "deps": [f"t{n - 1}"] if n % 5 else []} for n in range(TASKS)]
    plan_id = desk.call("plan", "plan_dag", tasks=tasks, max_parallel=40)["plan_id"]
    answer = desk.call("dispatch", "dispatch", plan_id=plan_id, worker="host")
    run_id = answer["run_id"]
    results = [done(assignment) for assignment in answer["assignments"]]
    desk.call("report", "report", run_id=run_id, results=results)
    for view in ("summary", "timeline", "results", "artifacts", "todo", "mermaid"):
        desk.call(f"trace: {view}", "get_trace", run_id=run_id, view=view)
    desk.call("fetch", "dispatch", run_id=run_id)
    desk.call("message", "message_agents", run_id=run_id, action="send", recipient=f"t{TASKS - 1}", text="Hello.")
    edit = {"op": "add", "id": "more", "task": {"id": "more", "do": "Write more"}}
    desk.call("edit", "plan_dag", plan_id=plan_id, base_version=1, edits=[edit])
    desk.call("cancel", "steer_run", run_id=run_id, action="cancel", reason="enough")


@pytest.mark.slice(3, table="heavy calls")
def test_a_run_of_thousands_of_tasks_is_planned_read_and_reported_beside_the_loop(tmp_path: Path) -> None:
    assert too_heavy(long_run, tmp_path) == {}


def great_change(desk: Desk) -> None:
    diff = "".join(
        f"diff --git a/d/x{n}.py b/d/x{n}.py\n--- a/d/x{n}.py\n+++ b/d/x{n}.py\n@@ -0,0 +1 @@\n+a = {n}\n"
        for n in range(FILES)
    )
    run_id = desk.call("start", "review_council", diff=diff)["run_id"]  # the agents are read at the first plan
    assignments = desk.call("seats", "dispatch", run_id=run_id)["assignments"]
    findings = [
        {"severity": "high", "file": f"d/x{n}.py", "line": 1, "quote": f"a = {n}", "claim": "wrong", "evidence": "so"}
        for n in range(200)
    ]
    answer = json.dumps({"verdict": "FAIL", "findings": findings})
    while assignments:
        results = [done(assignment, text=answer) for assignment in assignments]
        assignments = desk.call("verdicts", "report", run_id=run_id, results=results).get("assignments")
    desk.call("decision", "review_council", run_id=run_id)
    desk.call("trace", "get_trace", run_id=run_id)


@pytest.mark.long
@pytest.mark.slice(3, table="heavy calls")
def test_the_council_judges_a_change_of_thousands_of_files_beside_the_loop(tmp_path: Path) -> None:
    assert too_heavy(great_change, tmp_path) == {}


LINES = {
    "letters": "a" * 60_000,
    "paths": "a/" * 30_000,
    "braces": "{" * 60_000,
    "ticks": "`" * 60_000,
    "blanks": "a" + " " * 60_000 + "a",
    "names": "aB_" * 20_000,
    "quotes": '\\"' * 30_000,
    "keys": "a.b:" * 15_000,
}


def long_lines(desk: Desk) -> None:
    for name, line in LINES.items():
        desk.call(f"route {name}", "route_task", task=line)
        desk.call(f"plan {name}", "plan_dag", request=line)
        plan_id = desk.call(f"tasks {name}", "plan_dag", tasks=[{"id": "a", "do": f"Write {name}"}])["plan_id"]
        run = desk.call(f"dispatch {name}", "dispatch", plan_id=plan_id, worker="host")
        note = {"run_id": run["run_id"], "action": "send", "recipient": "a", "text": line[:4_000]}
        desk.call(f"message {name}", "message_agents", **note)
        results = [done(assignment, text=line) for assignment in run["assignments"]]
        desk.call(f"report {name}", "report", run_id=run["run_id"], results=results)
        desk.call(f"trace {name}", "get_trace", run_id=run["run_id"], view="results")
        diff = f"--- a/x.py\n+++ b/x.py\n@@ -1 +1 @@\n-a\n+{line}\n"
        desk.call(f"review {name}", "review_council", diff=diff)


@pytest.mark.slice(3, table="heavy calls")
def test_no_single_line_of_sixty_thousand_characters_keeps_the_loop_at_work(tmp_path: Path) -> None:
    assert too_heavy(long_lines, tmp_path) == {}


def test_a_server_takes_nothing_apart_when_its_client_leaves(tmp_path: Path) -> None:
    shop = memory_client.repository(tmp_path / "shop")
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    with raw_server.Wire(raw_server.environment(tmp_path / "state", shop), shop, era="legacy", fresh=True) as wire:
        wire.greet()
        wire.call("plan_dag", tasks=[{"id": "a", "do": "Write a"}])
        until_then_s = time.clock_gettime(_processor_clock(wire.process.pid))
        assert wire.close() == 0
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    all_s = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    assert all_s - until_then_s < until_then_s / 5  # a hundredth; half if the interpreter collects all that it loaded


def _processor_clock(pid: int) -> int:
    """Returns the clock of the processor time of a process (clock_getcpuclockid)."""
    return (~pid << 3) | 2


def test_a_callback_that_computes_is_found(tmp_path: Path) -> None:
    loop = loop_probe.MeasuredLoop(tmp_path / "report")

    def computes() -> None:
        until = time.thread_time() + 2 * loop_probe.KEPT_S
        while time.thread_time() < until:
            pass
        loop.stop()

    loop.call_soon(computes)
    loop.run_forever()
    loop.close()
    [callback] = loop_probe.read(tmp_path / "report")
    assert callback.cpu_s >= 2 * loop_probe.KEPT_S
