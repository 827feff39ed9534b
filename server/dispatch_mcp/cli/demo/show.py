"""The demo as it runs: a plan, parallel edits in worktrees, a kill, a resume, a council, and the change applied."""

from __future__ import annotations

import contextlib
import shutil
import time
from collections.abc import Generator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import anyio
import rich.live

from dispatch_mcp import configuration, errors, model
from dispatch_mcp.cli import console
from dispatch_mcp.cli.demo import demo_project, demo_server, lanes, story
from dispatch_mcp.pages import picture_loader, run_picture
from dispatch_mcp.service import checkouts
from dispatch_mcp.service.housekeeping import run_offers

LIMIT_S: Final = 120.0
"""Seconds after which the demo gives up: it takes under thirty on two free cores."""
POLL_S: Final = 0.15
"""Seconds between two looks at the run, so that the picture moves."""
MOST_FILES: Final = 20_000
"""Files of a repository that are copied."""

REAL: Final = "server, plan, worktrees, tests, merges, kill -9, council rules, apply"
PLAYED: Final = "the edits and the reviews: a script stands in for the models"
_FINAL: Final = frozenset(state.value for state in model.RUN_FINAL)
_NOTES: Final = {
    "not_accepted": "again: its own test said no",
    "merge_conflict": "again: clashed with another",
    "crashed": "again: kill -9 had cut it off",
}


@dataclass(slots=True)
class Show:
    """One performance in a folder of its own.

    `facts` collects what held, `diff` what was applied, `picture` what the page of the run shows.
    """

    folder: Path
    repo: Path | None
    facts: dict[str, model.Json] = field(default_factory=dict[str, model.Json])
    diff: str = ""
    picture: run_picture.RunPicture | None = None
    screen: lanes.Screen = field(init=False)
    _story: story.Story = field(init=False)
    _server: demo_server.DemoServer = field(init=False)
    _done_before_kill: set[str] = field(default_factory=set[str])

    def __post_init__(self) -> None:
        self._story = story.Story(self.folder / "agents", "." if self.repo is None else "demo_shop")
        tasks = {name: lanes.Lane(name, goal[-1] + 1.5) for name, goal in story.GOALS.items()}
        tasks |= {"check": lanes.Lane("check", 1.5), "council": lanes.Lane("council", 2.0)}
        where = "a small shop" if self.repo is None else f"a copy of {self.repo.name}"
        self.screen = lanes.Screen(f"{demo_project.FEATURE} ({where})", REAL, PLAYED, tasks)

    @property
    def workspace(self) -> Path:
        """The copy that is worked in."""
        return self.folder / "shop"

    async def perform(self) -> None:
        """Plays all acts. Raises DispatchError when something does not hold."""
        with anyio.fail_after(LIMIT_S):
            base = await self._set_up()
            self._server = self._new_server()
            await self._server.start()
            try:
                with self._live():
                    run_id = await self._plan()
                    await self._kill(run_id)
                    await self._resume(run_id)
                    await self._review(run_id)
                    await self._apply(run_id, base)
            finally:
                await self._server.stop()

    def _new_server(self) -> demo_server.DemoServer:
        return demo_server.DemoServer(self.folder / "state", self.workspace, self._story.allowed())

    @property
    def _settings(self) -> configuration.Settings:
        flags = {"home": self.folder / "state", "workspace": self.workspace}
        return configuration.load({}, flags=flags, cwd=self.workspace).settings

    async def _set_up(self) -> str:
        """Makes the repository that is worked in, and returns its first commit."""
        self.workspace.mkdir(parents=True)
        if self.repo is not None:
            await self._copy(self.repo)
        self._story.write(self.workspace)
        return await checkouts.begin(self._settings, self.workspace)

    async def _copy(self, repo: Path) -> None:
        settings = configuration.load({}, flags={"home": self.folder / "state"}, cwd=repo).settings
        names = await checkouts.tracked(settings, repo)
        if len(names) > MOST_FILES:
            raise errors.InputError(
                f"{str(repo)!r} has {len(names):,} files, too many to copy for a demo.", hint="Name a smaller one."
            )
        for name in names:
            source = repo / name
            if source.is_file() and not source.is_symlink():
                (self.workspace / name).parent.mkdir(parents=True, exist_ok=True)
                await anyio.to_thread.run_sync(shutil.copyfile, source, self.workspace / name)

    def _say(self, sentence: str) -> None:
        self.screen.sentences.append(sentence)
        if not console.out.is_terminal:
            console.say(f"{len(self.screen.sentences)}  {sentence}")

    @contextlib.contextmanager
    def _live(self) -> Generator[None]:
        """Shows the screen while it moves, on a terminal; elsewhere once, at the end."""
        if console.out.is_terminal:
            with rich.live.Live(self.screen, console=console.out, refresh_per_second=8):
                yield
                self.screen.end_at = time.monotonic()
        else:
            yield
            self.screen.end_at = time.monotonic()

    async def _plan(self) -> str:
        plan = await self._server.call(
            "plan_dag", request=demo_project.FEATURE, tasks=self._story.tasks(), on_conflict="worktree"
        )
        run = await self._server.call("dispatch", plan_id=plan["plan_id"], request_key="demo", worker="command")
        first, count = len(plan["waves"][0]), len(story.GOALS) + 1
        self._say(f"{count} tasks were planned; {first} began at once, in worktrees of their own.")
        return str(run["run_id"])

    async def _kill(self, run_id: str) -> None:
        """Kills the server while one task is at work, and everything before it is done."""
        trace = await self._watch(run_id, until=story.CUT_OFF)
        if trace["state"] in _FINAL:
            raise errors.DispatchError(f"The run ended as {trace['state']} before it could be cut off.")
        await self._note(run_id)
        self._done_before_kill = {task["id"] for task in trace["tasks"] if task["state"] == "succeeded"}
        self.facts["pid"] = await self._server.kill()

    async def _resume(self, run_id: str) -> None:
        self._server = self._new_server()
        await self._server.start()
        overview = await self._server.call("get_trace")
        if run_id not in {line["run_id"] for line in overview.get("runs", [])}:
            raise errors.DispatchError("The restarted server does not know the run.")
        await self._server.call("dispatch", run_id=run_id)
        trace = await self._watch(run_id)
        attempts = await self._note(run_id)
        if trace["state"] != model.RunState.SUCCEEDED.value:
            raise errors.DispatchError(f"The run ended as {trace['state']}.")
        twice = {name for name in self._done_before_kill if attempts.get(name) == _NOTES["crashed"]}
        if twice:
            raise errors.DispatchError(f"Finished work was repeated: {sorted(twice)}.")
        self._say(
            f"kill -9 hit the server with {len(self._done_before_kill)} tasks done. A new one went on; none of them "
            "was done twice."
        )
        self.facts |= {"run_id": run_id, "state": trace["state"], "kept": sorted(self._done_before_kill)}

    async def _note(self, run_id: str) -> dict[str, str]:
        """Says beside each lane why it was tried again, and returns that by task."""
        trace = await self._server.call("get_trace", run_id=run_id, view="timeline")
        notes: dict[str, str] = {}
        for event in trace["timeline"]:
            kind = event.get("data", {}).get("error_kind", "")
            state = event.get("data", {}).get("state", "")
            if event["kind"] == "attempt_finished" and state != "succeeded":
                notes[event["task"]] = _NOTES.get(kind, _NOTES["crashed"])
            elif event["kind"] in ("attempt_abandoned", "attempt_crashed"):
                notes[event["task"]] = _NOTES["crashed"]
        for name, note in notes.items():
            self.screen.lanes[name].note = note
        self._tell(notes)
        return notes

    def _tell(self, notes: Mapping[str, str]) -> None:
        """Says what went wrong by itself and was put right, once."""
        if len(self.screen.sentences) > 1:
            return
        refusals = [name for name, note in notes.items() if note == _NOTES["not_accepted"]]
        clashes = [name for name, note in notes.items() if note == _NOTES["merge_conflict"]]
        self.facts |= {"refuted": refusals, "clashed": clashes}
        if refusals:
            self._say(f"`{refusals[0]}` said it was done. Its test said no, so it was done again.")
        if clashes:
            self._say(f"Two tasks wrote the same line: `{clashes[0]}` was made again on top of the other.")

    async def _review(self, run_id: str) -> None:
        lane = self.screen.lanes["council"]
        lane.move("running", time.monotonic())
        answer = await self._server.call("review_council", run_id=run_id)
        review, seats = str(answer["run_id"]), [item["task_id"] for item in answer["assignments"]]
        while answer.get("assignments"):
            results: list[model.Json] = [
                {
                    "task_id": item["task_id"],
                    "attempt": item["attempt"],
                    "text": self._story.review(
                        seats.index(item["task_id"]) if item["task_id"] in seats else -1, item["attempt"]
                    ),
                }
                for item in answer["assignments"]
            ]
            answer = await self._server.call("report", run_id=review, results=results)
        outcome = str(answer["decision"]["outcome"])
        lane.move(outcome, time.monotonic())
        lane.note = f"{len(seats)} reviewers, then an advocate"
        self._say(f"Council: {outcome}. A reviewer who came to no verdict was asked again.")
        self.facts["council"] = outcome

    async def _apply(self, run_id: str, base: str) -> None:
        """Brings the change into the checkout, as `apply --expect` does, and looks at it and at the run."""
        settings = self._settings
        offer = await run_offers.offer(settings, run_id)
        result = await run_offers.offer(settings, run_id, offer.revision)
        self.diff = await checkouts.change(settings, self.workspace, base)
        self.picture = await picture_loader.read(settings, run_id)
        self.facts |= {"applied": result.applied, "files": list(offer.files), "revision": offer.revision[:12]}

    async def _watch(self, run_id: str, until: str = "") -> Mapping[str, model.Json]:
        """Lets the lanes move until a task is at work, or the run is over; returns the last look at it."""
        while True:
            trace = await self._server.call("get_trace", run_id=run_id)
            self.screen.take(trace)
            states = {task["id"]: task["state"] for task in trace["tasks"]}
            rest = [state for name, state in states.items() if name not in (until, "check")]
            if trace["state"] in _FINAL or (states.get(until) == "running" and set(rest) == {"succeeded"}):
                return trace
            await anyio.sleep(POLL_S)
