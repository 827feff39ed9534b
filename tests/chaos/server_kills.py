"""R1 with a real server: a client works through it while it is killed at random, again and again.

The workspace is a repository with a submodule in which the user has commits and edits, and with files that git ignores.
"""

from __future__ import annotations

import json
import random
import sqlite3
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Mapping
from contextlib import closing, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1] / "support"))
import chaos_processes
import raw_server
import store_setup
import submodule_setup
import temp_repository

from dispatch_mcp.model import short_ids

APPEND = "import sys; open({path!r}, 'a').write({line!r})"
RUNS = 3
"""So many runs the client keeps open at once."""


@dataclass
class Client:
    """What a host does, and what it was told; it remembers both over the server's deaths."""

    folder: Path
    rng: random.Random
    created: set[str] = field(default_factory=set[str])
    accepted: list[tuple[str, str, int]] = field(default_factory=list[tuple[str, str, int]])
    attempted: set[tuple[str, str, int]] = field(default_factory=set[tuple[str, str, int]])
    keys: int = 0
    open_key: tuple[str, str] | None = None
    marks: int = 0
    possessions: dict[str, str] = field(default_factory=dict[str, str])

    @property
    def home(self) -> Path:
        return self.folder / "home"

    @property
    def ledger(self) -> Path:
        return self.folder / "ledger"

    def written(self) -> list[str]:
        """Returns what commands wrote; nothing when every kill came before the first of them ran."""
        return self.ledger.read_text(encoding="utf-8").split() if self.ledger.exists() else []

    @property
    def shop(self) -> Path:
        return self.folder / "shop"

    def start(self) -> raw_server.Wire:
        if not self.shop.exists():
            temp_repository.make(self.shop)
            submodule_setup.lay_property(self.shop, self.folder / "pump")
            self.possessions = submodule_setup.property_of(self.shop)
        env = raw_server.environment(self.home, self.shop, [["python", "-S", "-c", "*"]])
        return raw_server.Wire(env, self.shop, log=self.folder / "stderr")

    def tasks(self) -> list[dict[str, Any]]:
        """A graph of all three kinds of work: commands that leave a mark, scripted waits, and the host's own."""
        tasks: list[dict[str, Any]] = []
        for number in range(9):
            deps = [f"t{self.rng.randrange(number)}" for _ in range(2) if number and self.rng.random() < 0.6]
            task: dict[str, Any] = {"id": f"t{number}", "do": "Work", "deps": sorted(set(deps))}
            if number % 3 == 0:
                self.marks += 1
                line = f"{self.marks}\n"
                task["command"] = ["python", "-S", "-c", APPEND.format(path=str(self.ledger), line=line)]
            elif number % 3 == 1:
                task |= {"worker": "scripted", "inputs": {"script": {"sleep_s": self.rng.random() * 0.2}}}
            tasks.append(task)
        return tasks

    def begin(self, server: raw_server.Wire) -> None:
        """Dispatches a plan; a call that was never answered is sent again under its key."""
        if self.open_key is None:
            plan_id = server.call("plan_dag", tasks=self.tasks())["plan_id"]
            self.keys += 1
            self.open_key = (plan_id, f"call-{self.keys}")
        plan_id, key = self.open_key
        self.created.add(server.call("dispatch", plan_id=plan_id, request_key=key)["run_id"])
        self.open_key = None

    def work(self, server: raw_server.Wire, *, endless: bool) -> None:
        """Begins runs, does the host's part of them and repairs what was given up."""
        while True:
            runs = self.unfinished(server)
            if not runs and not endless:
                return
            if endless and len(runs) < RUNS:
                self.begin(server)
            for run_id in runs:
                self.help(server, run_id)

    def unfinished(self, server: raw_server.Wire) -> list[str]:
        listed = server.call("get_trace", view="all").get("runs", [])
        return [one["run_id"] for one in listed if one["state"] != "succeeded"]

    def help(self, server: raw_server.Wire, run_id: str) -> None:
        answer = server.call("dispatch", run_id=run_id)
        if answer["state"] in ("failed", "partial"):
            self.repair(server, run_id)
        if reports := [raw_server.done(one) for one in answer.get("assignments", [])]:
            self.attempted |= {(run_id, one["task_id"], one["attempt"]) for one in reports}
            verdicts = server.call("report", run_id=run_id, results=reports)["results"]
            self.accepted += [(run_id, one["task_id"], one["attempt"]) for one in verdicts if one.get("accepted")]
        elif answer["state"] == "running":
            server.call("get_trace", run_id=run_id, wait_s=0.3)

    def repair(self, server: raw_server.Wire, run_id: str) -> None:
        """Opens tasks that were given up after too many crashes: many kills do that."""
        for task in server.call("get_trace", run_id=run_id)["tasks"]:
            if task["state"] == "failed":
                with suppress(raw_server.Refused):
                    server.call("steer_run", run_id=run_id, action="retry", task_id=task["id"])


def rage(client: Client, kills: int, mean_life_s: float) -> int:
    """Lets the client work with servers that die; returns how many were killed while they lived."""
    done = 0
    while done < kills:
        with client.start() as server:
            killer = threading.Timer(client.rng.expovariate(1 / mean_life_s), server.process.kill)
            try:
                if client.rng.random() < 0.8 and not client.unfinished(server):  # the others may die while they start
                    client.begin(server)
                killer.start()
                client.work(server, endless=True)
            except raw_server.Gone:
                done += server.process.wait() == -9
            finally:
                killer.cancel()
                killer.join()
    return done


def verdict(client: Client) -> dict[str, Any]:
    """What the client was told beside what the store holds, in Jepsen's words."""
    with closing(sqlite3.connect(client.home / "state.db")) as conn:
        runs = {short_ids.short(row[0]) for row in conn.execute("SELECT id FROM run")}
        results = conn.execute(
            "SELECT run.id, task.id, result.attempt FROM result JOIN task ON task.no = result.task "
            "JOIN run ON run.no = task.run WHERE task.worker = 'host'"
        )
        kept = {(short_ids.short(run_id), task_id, attempt) for run_id, task_id, attempt in results}
        tasks, open_tasks = conn.execute(
            "SELECT count(*), sum(state NOT IN ('succeeded', 'unverified')) FROM task"
        ).fetchone()
        abandoned = conn.execute("SELECT count(*) FROM attempt WHERE state = 'abandoned'").fetchone()[0]
        events = conn.execute("SELECT run, kind, task, data FROM event ORDER BY run, seq").fetchall()
    accepted = set(client.accepted)
    twice = [key for key, count in Counter(one[:2] for one in client.accepted).items() if count > 1]
    return {
        "runs": len(runs),
        "tasks": tasks,
        "attempted": len(client.attempted),
        "acknowledged": len(accepted) + len(client.created),
        "ok": len(accepted & kept) + len(client.created & runs),
        "lost": len(accepted - kept) + len(client.created - runs),
        "unexpected": len(kept - client.attempted),
        "duplicated": len(twice) + started_again(events),
        "recovered": len(kept - accepted) + len(runs - client.created),
        "abandoned": abandoned,
        "unfinished": open_tasks,
        "marks": len(client.written()),
        "marks_missing": len(unmarked(client)),
        "faults": [*store_setup.faults(client.home), *_lost_of_user(client)],
    }


def _lost_of_user(client: Client) -> list[str]:
    """Returns what of the user's is not as it was before the first server."""
    now = submodule_setup.property_of(client.shop)
    return [f"the user's {name} changed" for name, text in client.possessions.items() if now[name] != text]


def started_again(events: list[tuple[int, str, str, str]]) -> int:
    """Counts attempts that were started after their task had succeeded."""
    done: set[tuple[int, str]] = set()
    again = 0
    for run, kind, task, data in events:
        if kind == "attempt_started":
            again += (run, task) in done
        if kind == "attempt_finished" and json.loads(data)["state"] == "succeeded":
            done.add((run, task))
    return again


def unmarked(client: Client) -> set[str]:
    """Returns the marks of succeeded commands that are not in the ledger: work that was claimed and not done."""
    found = set(client.written())
    with closing(sqlite3.connect(client.home / "state.db")) as conn:
        documents = conn.execute("SELECT document FROM plan WHERE id IN (SELECT plan_id FROM run)").fetchall()
    return {mark for (document,) in documents for mark in marks_of(json.loads(document))} - found


def marks_of(plan: Mapping[str, Any]) -> set[str]:
    argvs = [task["command"] for task in plan["tasks"] if task.get("command")]
    return {argv[-1].rsplit("write('", 1)[1].split("\\n", 1)[0] for argv in argvs}


def takeover(folder: Path) -> dict[str, Any]:
    """Kills the server that drives a run beside a second live one; returns what the second one did, by events."""
    client = Client(folder, random.Random(0))
    tasks = [{"id": f"t{n}", "do": "Wait", "deps": [f"t{n - 1}"] if n else []} for n in range(6)]
    scripted = [{**task, "inputs": {"script": {"sleep_s": 0.4}}} for task in tasks]
    with client.start() as first, client.start() as second:
        second.request("tools/list")
        plan_id = first.call("plan_dag", tasks=scripted)["plan_id"]
        run_id = first.call("dispatch", plan_id=plan_id, worker="scripted")["run_id"]
        while not first.call("get_trace", run_id=run_id)["counts"].get("succeeded"):
            time.sleep(0.01)
        killed_at = time.time()
        first.kill()
        state = "running"
        while state == "running":  # only looked at: nobody asks the second one to go on
            state = second.call("get_trace", run_id=run_id, wait_s=5)["state"]
        second.close()
    with closing(sqlite3.connect(client.home / "state.db")) as conn:
        adopted = [row[0] for row in conn.execute("SELECT at FROM event WHERE kind = 'run_adopted' ORDER BY seq")]
        events = conn.execute("SELECT run, kind, task, data FROM event ORDER BY run, seq").fetchall()
    return {
        "state": state,
        "adoptions": len(adopted),
        "takeover_s": round(adopted[-1] - killed_at, 3),
        "duplicated": started_again(events),
        "faults": store_setup.faults(client.home),
    }


def main() -> int:
    parser = chaos_processes.parser(__doc__)
    parser.add_argument("--kills", type=int, default=12)
    parser.add_argument("--mean-life-ms", type=float, default=1000.0)
    parser.add_argument("--takeover", action="store_true", help="only: a second server takes over, in how many seconds")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        if asked.takeover:
            found = takeover(folder)
            print(json.dumps(found))  # noqa: T201  # the report
            return 1 if found["duplicated"] or found["faults"] else 0
        client = Client(folder, random.Random(asked.seed))
        began = time.perf_counter()
        kills = rage(client, asked.kills, asked.mean_life_ms / 1000)
        with client.start() as server:
            client.work(server, endless=False)
            code = server.close()
        seconds = round(time.perf_counter() - began, 1)
        found = {"seed": asked.seed, "kills": kills, "seconds": seconds, "exit": code, **verdict(client)}
        return chaos_processes.conclude(found, as_json=asked.json) or (1 if code or found["marks_missing"] else 0)


if __name__ == "__main__":
    sys.exit(main())
