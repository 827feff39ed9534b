"""R1, R3, R10 with work that costs money: a server of mixed runs on a repository is killed at random, again and again.

Every run has tasks of the api worker (on a fake provider), of the claude worker (a double of Claude Code), commands and
scripted ones; half of them change files of the repository in worktrees. It has a submodule in which the user has
commits and edits, and files that git ignores.
"""

from __future__ import annotations

import json
import os
import random
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from contextlib import closing, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import anyio

sys.path.insert(0, str(Path(__file__).parents[1] / "support"))
import chaos_processes
import fake_provider
import nursery
import rogue_processes
import server_kills
import store_setup
import submodule_setup
from claude_double import Double
from fake_provider import done, script

from dispatch_mcp import composition, configuration, errors, model
from dispatch_mcp.model import records

RUNS = 2
"""So many runs are kept open at once."""

PATIENCE_S = 180.0
LIFE = """
import random, re
arguments = dict(word.split("=", 1) for word in sys.argv if word.startswith("--") and "=" in word)
session = arguments.get("--resume") or arguments["--session-id"]
kept = here / "sessions" / session
kept.parent.mkdir(exist_ok=True)
if "--resume" in arguments and not kept.exists():
    print("No conversation found with session ID", session, file=sys.stderr)
    sys.exit(1)
if "--session-id" in arguments:
    kept.write_text(re.search(r"WRITE (\\S+) (\\S+)", call["stdin"])[0])
_, task, name = kept.read_text().split()
with (here / "paid.jsonl").open("a") as paid:
    paid.write(json.dumps({"task": task, "t": time.time(), "pid": os.getpid()}) + "\\n")
time.sleep(random.random() * 0.5)
pathlib.Path(name).write_text(task)
handoff = {"completed_work": "done", "files_modified": [name], "decisions_made": [], "open_questions": [],
           "mistakes_learned": [], "artifacts": [], "messages": [], "answer": task}
print(json.dumps({"type": "result", "subtype": "success", "is_error": False, "terminal_reason": "completed",
                  "total_cost_usd": 0.01, "structured_output": handoff, "usage": {"input_tokens": 10}}), flush=True)
"""
"""What the double does: it works for a while in its session, then writes its file."""


@dataclass
class Yard:
    """The repository, the state directory, the fakes, and what was begun."""

    folder: Path
    fake: fake_provider.Provider
    rng: random.Random
    runs: list[str] = field(default_factory=list[str])
    survivors: int = 0
    outlived_s: float = 0.0

    def __post_init__(self) -> None:
        self.repository.mkdir()
        self.double = Double(self.folder / "bin")
        self.double.plays({"python": LIFE})
        for argv in (["init", "-q"], ["commit", "-q", "--allow-empty", "-m", "Begin"]):
            self.git(*argv)
        submodule_setup.lay_property(self.repository, self.folder / "pump")
        self.possessions = submodule_setup.property_of(self.repository)

    @property
    def repository(self) -> Path:
        return self.folder / "shop"

    @property
    def home(self) -> Path:
        return self.folder / "home"

    @property
    def env(self) -> dict[str, str]:
        kept = {
            name: value for name, value in os.environ.items() if name.startswith(("GIT_", "PYTHON")) or name == "HOME"
        }
        return kept | self.fake.env(
            DISPATCH_MCP_HOME=str(self.home),
            DISPATCH_MCP_WORKSPACE=str(self.repository),
            DISPATCH_MCP_CLAUDE_PROGRAM=str(self.double.program),
            DISPATCH_MCP_CONTEXT_TOKENS="0",
            DISPATCH_MCP_REVIEWS="none",
            DISPATCH_MCP_REVIEW_POLICY="off",
        )

    def git(self, *argv: str) -> str:
        done = subprocess.run(["git", *argv], cwd=self.repository, check=True, capture_output=True, text=True)
        return done.stdout.strip()

    def tasks(self) -> list[dict[str, Any]]:
        number, tasks = len(self.runs), list[dict[str, Any]]()
        for place in range(8):
            name, kind = f"r{number}t{place}", ("api", "claude", "command", "scripted")[place % 4]
            deps = sorted({f"r{number}t{self.rng.randrange(place)}" for _ in range(2) if place})
            task: dict[str, Any] = {"id": name, "deps": deps if self.rng.random() < 0.6 else [], "worker": kind}
            file = f"{name}.txt"
            if kind == "api":
                write = {"tool": "write_file", "input": {"path": file, "text": name}, "delay": self.rng.random() * 0.3}
                task |= {"do": f"Work {name}. {script(write, {'delay': 0.1, **done()})}", "files": [file]}
            elif kind == "claude":
                task |= {"do": f"WRITE {name} {file}", "files": [file]}
            elif kind == "command":
                task |= {"do": "Look", "command": ["git", "log", "--oneline"]}
            else:
                task |= {"do": "Wait", "inputs": {"script": {"sleep_s": self.rng.random() * 0.2}}}
            tasks.append(task)
        return tasks

    async def tend(self) -> int:
        """Begins runs, opens again what too many crashes have closed, and returns how many runs are unfinished."""
        settings = configuration.load(self.env, cwd=self.repository).settings
        async with composition.open_dispatcher(settings, purpose=composition.PLAN) as app:
            records_ = [await app.store.run(run_id, principal=records.LOCAL) for run_id in self.runs]
            for one in records_:
                if one.state in (model.RunState.FAILED, model.RunState.PARTIAL):
                    for task in await app.store.tasks(one.id):
                        if task.state is model.TaskState.FAILED:
                            with suppress(errors.InputError):
                                await app.steer(one.id, "retry", task.id, "crashed too often")
            return sum(one.state is not model.RunState.SUCCEEDED for one in records_)

    async def begin(self) -> None:
        settings = configuration.load(self.env, cwd=self.repository).settings
        async with composition.open_dispatcher(settings, purpose=composition.PLAN) as app:
            plan = await app.plans.plan(self.tasks())
            self.runs.append((await app.dispatch(plan_id=plan.plan.id, worker="api")).run_id)

    def serve(self) -> nursery.Child:
        with (self.folder / "stderr").open("ab") as stderr:
            return nursery.fork(["worker", "--quiet"], self.env, self.repository, stderr.fileno())

    def begun(self) -> int:
        """Returns how many attempts have begun."""
        with closing(sqlite3.connect(f"file:{self.home}/state.db?mode=ro", uri=True)) as conn:
            return conn.execute("SELECT count(*) FROM attempt").fetchone()[0]

    def wait_for_work(self) -> None:
        """Returns when the server has begun something, so that it is killed at work and not while it imports."""
        before, deadline = self.begun(), time.monotonic() + 8.0
        while self.begun() == before and time.monotonic() < deadline:
            time.sleep(0.02)

    def paid(self) -> list[dict[str, Any]]:
        kept = self.double.folder / "paid.jsonl"
        return [json.loads(line) for line in kept.read_text().splitlines()] if kept.exists() else []

    def count_survivors(self) -> None:
        """Counts what still runs a second after a kill, and notes for how long the last of it does."""
        killed_at = time.monotonic()
        deadline = killed_at + 1.0
        pids = [one["pid"] for one in self.paid()]
        while (alive := rogue_processes.survivors(pids)) and time.monotonic() < deadline:
            time.sleep(0.01)
        self.survivors += len(alive)
        while alive and rogue_processes.survivors(pids) and time.monotonic() < killed_at + PATIENCE_S:
            time.sleep(0.05)
        self.outlived_s = max(self.outlived_s, time.monotonic() - killed_at)


def rage(yard: Yard, kills: int, mean_life_s: float) -> int:
    """Lets servers work and kills them; returns how many were killed while they lived."""
    done_ = 0
    while done_ < kills:
        unfinished = anyio.run(yard.tend)
        for _ in range(RUNS - unfinished):
            anyio.run(yard.begin)
        with yard.serve() as server:
            yard.wait_for_work()
            time.sleep(yard.rng.expovariate(1 / mean_life_s))
            server.send_signal(signal.SIGKILL)
            done_ += server.wait() == -signal.SIGKILL
        yard.count_survivors()
    return done_


def finish(yard: Yard) -> None:
    """Lets one server work undisturbed until every run has ended well."""
    deadline = time.monotonic() + PATIENCE_S
    with yard.serve() as server:
        while anyio.run(yard.tend) and time.monotonic() < deadline:
            time.sleep(0.3)
        server.send_signal(signal.SIGTERM)
    yard.count_survivors()


def verdict(yard: Yard) -> dict[str, Any]:
    """What became of everything, in Jepsen's words."""
    with closing(sqlite3.connect(yard.home / "state.db")) as conn:
        tasks, unfinished = conn.execute(
            "SELECT count(*), sum(state NOT IN ('succeeded', 'unverified')) FROM task"
        ).fetchone()
        kept = {row[0] for row in conn.execute("SELECT id FROM run")}
        events = conn.execute("SELECT run, kind, task, data, at FROM event ORDER BY run, seq").fetchall()
        abandoned = conn.execute("SELECT count(*) FROM attempt WHERE state = 'abandoned'").fetchone()[0]
        spent = conn.execute("SELECT sum(cost_usd) FROM attempt").fetchone()[0] or 0.0
    accepted = {
        name: at
        for _, kind, name, data, at in events
        if kind == "attempt_finished" and json.loads(data)["state"] == "succeeded"
    }
    asked = yard.fake.requests()
    late = sum(_late(one["task"], one["t"], accepted) for one in yard.paid())
    late += sum(_late(_task_of(one), one["t"], accepted) for one in asked)
    return {
        "runs": len(yard.runs),
        "tasks": tasks,
        "acknowledged": len(yard.runs),
        "ok": len(kept & set(yard.runs)),
        "lost": len(set(yard.runs) - kept),
        "unexpected": len(kept - set(yard.runs)),
        "duplicated": server_kills.started_again([event[:4] for event in events]),
        "paid_twice": late,
        "survivors": yard.survivors,
        "outlived_s": round(yard.outlived_s, 2),
        "abandoned": abandoned,
        "unfinished": unfinished,
        "requests": len(asked),
        "claude_starts": len(yard.paid()),
        "dollars": round(spent, 6),
        "repository": repository_faults(yard),
        "faults": store_setup.faults(yard.home),
    }


def _task_of(request: dict[str, Any]) -> str:
    text = json.dumps(request["body"]["messages"][0])
    return text.partition("Work ")[2].partition(".")[0]


def _late(task: str, at: float, accepted: dict[str, float]) -> bool:
    return task in accepted and at > accepted[task]


def repository_faults(yard: Yard) -> list[str]:
    """Returns what is wrong with the repository: nothing but our own refs may have changed."""
    found = [line for line in yard.git("fsck", "--no-progress", "--no-dangling").splitlines() if line]
    now = submodule_setup.property_of(yard.repository)
    found += [f"the user's {name} changed" for name, text in yard.possessions.items() if now[name] != text]
    for number, run_id in enumerate(yard.runs):
        names = set(yard.git("ls-tree", "--name-only", f"refs/dispatch/{run_id}/merged").splitlines())
        wanted = {f"r{number}t{place}.txt" for place in range(8) if place % 4 < 2}
        wanted |= {".gitignore", ".gitmodules", submodule_setup.PLACE.partition("/")[0]}
        if names != wanted:
            found.append(f"run {number} merged {sorted(names)}")
    return found


def is_good(found: dict[str, Any]) -> bool:
    bad = ("lost", "unexpected", "duplicated", "paid_twice", "survivors", "unfinished", "repository", "faults")
    return not any(found[word] for word in bad)


def main() -> int:
    parser = chaos_processes.parser(__doc__)
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--life", type=float, default=4.0, help="mean seconds of a server after its first attempt")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, fake_provider.opened() as fake:
        yard = Yard(Path(folder), fake, random.Random(options.seed))
        os.environ.update(yard.env)
        began = time.monotonic()
        killed = rage(yard, options.kills, options.life)
        finish(yard)
        found = {"seed": options.seed, "kills": killed, "seconds": round(time.monotonic() - began, 1), **verdict(yard)}
    text = json.dumps(found) if options.json else "\n".join(f"{name:14} {value}" for name, value in found.items())
    sys.stdout.write(text + "\n")
    return 0 if is_good(found) else 1


if __name__ == "__main__":
    sys.exit(main())
