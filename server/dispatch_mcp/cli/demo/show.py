"""The demo as it runs: route, plan, dispatch, kill, resume, report, trace."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import anyio
import rich.live
import rich.rule
import rich.table

from dispatch_mcp import errors, model
from dispatch_mcp.cli import console
from dispatch_mcp.cli.demo import demo_server, story
from dispatch_mcp.model import RunState

LIMIT_S = 60.0
"""Seconds after which the demo gives up: it takes under thirty on two cores."""
POLL_S = 0.1
"""Seconds between two looks at the run, so that the picture moves."""
_FINAL = {state.value for state in model.RUN_FINAL}

Until = Callable[[Mapping[str, model.Json]], bool]


@dataclass(slots=True)
class Show:
    """One performance over one repository; `facts` collects what the ending states."""

    home: Path
    repo: Path
    pause_s: float
    facts: dict[str, model.Json] = field(default_factory=dict[str, model.Json])
    _server: demo_server.Server = field(init=False)
    _done_before_kill: set[str] = field(default_factory=set[str])
    _answers: dict[str, str] = field(default_factory=dict[str, str])

    async def perform(self) -> None:
        """Plays all acts. Raises DispatchError when something does not hold."""
        with anyio.fail_after(LIMIT_S):
            self._server = demo_server.Server(self.home, self.repo, story.allowed())
            await self._server.start()
            try:
                await self._route()
                plan_id = await self._plan()
                run_id = await self._dispatch(plan_id)
                await self._kill(run_id)
                await self._resume(run_id)
                await self._assist(run_id)
                await self._end(run_id)
            finally:
                await self._server.stop()

    async def _beat(self) -> None:
        await anyio.sleep(self.pause_s)

    async def _route(self) -> None:
        act("route_task: who should do this?")
        rows: list[tuple[str, str, str]] = []
        for request in story.REQUESTS:
            route = await self._server.call("route_task", task=request)
            rows.append(
                (request, str(route.get("specialist") or "a question first"), f"{route.get('confidence', 0):.2f}")
            )
        console.show(("request", "specialist", "confidence"), rows)
        self.facts["routed"] = len(rows)
        await self._beat()

    async def _plan(self) -> str:
        act("plan_dag: commands that this server runs, judgements that the assistant makes")
        plan = await self._server.call("plan_dag", tasks=story.tasks(), max_parallel=4, diagram=False)
        for number, wave in enumerate(plan["waves"], 1):
            console.say(f"wave {number}: {', '.join(wave)}")
        console.say(f"critical path: {' → '.join(plan['critical_path'])}")
        await self._beat()
        return str(plan["plan_id"])

    async def _dispatch(self, plan_id: str) -> str:
        act("dispatch: returns a handle at once, the work goes on")
        progress = await self._server.call("dispatch", plan_id=plan_id, request_key="demo")
        console.say(f"run {progress['run_id']}: {progress['state']}")
        return str(progress["run_id"])

    async def _kill(self, run_id: str) -> None:
        act("kill -9 in the middle")
        trace = await self._watch(run_id, until=_half_way)
        self._done_before_kill = {task["id"] for task in trace["tasks"] if task["state"] == "succeeded"}
        pid = await self._server.kill()
        running = [task["id"] for task in trace["tasks"] if task["state"] == "running"]
        count = len(self._done_before_kill)
        console.say(f"killed process {pid}: {count} finished, running: {', '.join(running) or 'none'}", style="red")
        self.facts["killed_with"] = {"finished": sorted(self._done_before_kill), "running": running}
        await self._beat()

    async def _resume(self, run_id: str) -> None:
        act("restart: a new process finds the run and goes on")
        self._server = demo_server.Server(self.home, self.repo, story.allowed())
        await self._server.start()
        overview = await self._server.call("get_trace")
        if run_id not in {line["run_id"] for line in overview["runs"]}:
            raise errors.DispatchError("The restarted server does not know the run.")
        await self._server.call("dispatch", run_id=run_id)
        trace = await self._watch(run_id, until=_commands_over)
        again = {task["id"] for task in trace["tasks"] if task.get("attempts", 0) > 1}
        twice = again & self._done_before_kill
        if twice:
            raise errors.DispatchError(f"Finished work was repeated: {sorted(twice)}.")
        console.say(f"kept: {', '.join(sorted(self._done_before_kill)) or 'nothing had finished'}", style="green")
        console.say(f"begun again because the kill caught them: {', '.join(sorted(again)) or 'none'}")
        self.facts["kept"], self.facts["begun_again"] = sorted(self._done_before_kill), sorted(again)
        await self._beat()

    async def _assist(self, run_id: str) -> None:
        act("the assistant does its part and reports a whole wave at a time")
        progress = await self._server.call("dispatch", run_id=run_id)
        while progress.get("assignments"):
            results: list[model.Json] = []
            for assignment in progress["assignments"]:
                outputs = await self._outputs(run_id, assignment["task_id"])
                handoff = story.answer(assignment["task_id"], outputs)
                self._answers[assignment["task_id"]] = str(handoff["completed_work"])
                console.say(
                    f"assistant ({assignment['call']['subagent_type']}) on {assignment['task_id']}:", style="cyan"
                )
                console.say(f"  {handoff['completed_work']}")
                results.append({"task_id": assignment["task_id"], "attempt": assignment["attempt"], "handoff": handoff})
            progress = await self._server.call("report", run_id=run_id, results=results)
        await self._beat()

    async def _outputs(self, run_id: str, task_id: str) -> Mapping[str, str]:
        deps = story.HOST_TASKS[task_id][1]
        missing = [dep for dep in deps if dep not in self._answers]
        traces = {dep: await self._server.call("get_trace", run_id=run_id, task_id=dep) for dep in missing}
        own = {dep: self._answers[dep] for dep in deps if dep in self._answers}
        return own | {dep: demo_server.outputs_of(results) for dep, results in traces.items()}

    async def _end(self, run_id: str) -> None:
        act("get_trace: what happened")
        trace = await self._server.call("get_trace", run_id=run_id, view="timeline")
        rows = [(f"{event['t']:.2f}", event["kind"], event.get("task", "")) for event in trace["timeline"]]
        console.show(("s", "event", "task"), rows)
        if trace["state"] != RunState.SUCCEEDED.value:
            raise errors.DispatchError(f"The run ended as {trace['state']}.")
        console.say(f"{trace['next']}\nrun {run_id}: {trace['state']}", style="green")
        self.facts |= {"run_id": run_id, "state": trace["state"], "counts": trace["counts"]}

    async def _watch(self, run_id: str, until: Until) -> dict[str, model.Json]:
        """Shows the tasks as they move and returns the trace that `until` was waiting for."""
        with rich.live.Live(console=console.out, auto_refresh=False, transient=True) as live:
            while True:
                trace = await self._server.call("get_trace", run_id=run_id)
                if console.out.is_terminal:
                    live.update(_picture(trace), refresh=True)
                if until(trace) or trace["state"] in _FINAL:
                    break
                await anyio.sleep(POLL_S)
        console.out.print(_picture(trace))
        return trace


def act(title: str) -> None:
    """Prints the heading of an act."""
    console.out.print()
    console.out.print(rich.rule.Rule(console.plain(title, "bold"), align="left", style="dim"))


def _picture(trace: Mapping[str, model.Json]) -> rich.table.Table:
    rows = [
        (task["id"], task["state"], task.get("worker", ""), str(task.get("attempts", 0))) for task in trace["tasks"]
    ]
    return console.table(("task", "state", "worker", "tries"), rows)


def _commands(trace: Mapping[str, model.Json]) -> dict[str, str]:
    return {task["id"]: task["state"] for task in trace["tasks"] if task.get("worker") == "command"}


def _half_way(trace: Mapping[str, model.Json]) -> bool:
    states = list(_commands(trace).values())
    return states.count("succeeded") >= len(states) // 2


def _commands_over(trace: Mapping[str, model.Json]) -> bool:
    return all(state in ("succeeded", "failed", "skipped") for state in _commands(trace).values())
