"""Alerts under kills: a server that ends runs is killed at random, and each end is told once, soon after its commit.

A second server has the same state folder open, as a second session has; without it (`--alone`) what a kill leaves is
told by the next server, and its start counts.
"""

from __future__ import annotations

import itertools
import json
import os
import random
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from contextlib import ExitStack, closing, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1] / "support"))
import alert_receiver
import anyio
import chaos_processes
import raw_server
import store_setup

from dispatch_mcp import composition, configuration
from dispatch_mcp.store.outbox import alert_box

PROMISE_S = 2.0


@dataclass
class Client:
    """What a host does: it begins runs of one task and reports it."""

    folder: Path
    receiver: alert_receiver.Receiver
    rng: random.Random

    @property
    def home(self) -> Path:
        return self.folder / "home"

    def start(self) -> raw_server.Wire:
        shop = self.folder / "shop"
        told = {"DISPATCH_MCP_NOTIFY": "webhook", "DISPATCH_MCP_NOTIFY_URL": self.receiver.url}
        env = raw_server.environment(self.home, shop, **told)
        return raw_server.Wire(env, shop, log=self.folder / "stderr")

    def end_run(self, server: raw_server.Wire, killer: threading.Timer | None = None) -> None:
        plan_id = server.call("plan_dag", tasks=[{"id": "a", "do": "Look"}])["plan_id"]
        answer = server.call("dispatch", plan_id=plan_id)
        if killer:
            killer.start()
        reports = [raw_server.done(entry) for entry in answer["assignments"]]
        server.call("report", run_id=answer["run_id"], results=reports)

    def rage(self, kills: int) -> int:
        """Works with servers that die while they end a run, or soon after; returns how many were killed."""
        for _ in range(kills):
            with self.start() as server:
                began = time.monotonic()
                self.end_run(server)
                took_s = time.monotonic() - began
                killer = threading.Timer(self.rng.random() * took_s, server.process.kill)
                with suppress(raw_server.Gone):
                    self.end_run(server, killer)
                killer.join()
                server.process.wait()
        return kills

    def rage_forked(self, kills: int) -> int:
        """Does the same with processes that are forked with everything imported, and have no pipe to a host."""
        command = [sys.executable, __file__, "--folder", str(self.folder), "--url", self.receiver.url]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1) as nest:
            assert nest.stdin
            assert nest.stdout
            for _ in range(kills):
                nest.stdin.write("\n")
                pid = int(nest.stdout.readline())
                nest.stdout.readline()  # it has begun its second run
                began = time.monotonic()
                nest.stdout.readline()  # and ended it
                wait_s = self.rng.random() * (time.monotonic() - began)
                killer = threading.Timer(wait_s, os.kill, (pid, 9))
                killer.start()
                killer.join()
                nest.stdout.readline()  # it is dead
            nest.stdin.close()
        return kills


def nest(folder: Path, url: str) -> None:
    """Forks a process that ends runs for each line on stdin; says its number, its first two runs, and its death."""
    settings = configuration.load(
        {}, flags={"home": folder / "home", "workspace": folder / "shop", "notify": "webhook", "notify_url": url}
        | {"reviews": "none"}, cwd=folder,
    ).settings  # fmt: skip
    for _ in sys.stdin:
        pid = os.fork()
        if not pid:
            os.dup2(os.open(folder / "stderr", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600), 2)
            anyio.run(end_runs, settings)
        sys.stdout.write(f"{pid}\n")
        sys.stdout.flush()
        os.waitpid(pid, 0)
        sys.stdout.write("dead\n")
        sys.stdout.flush()


async def end_runs(settings: configuration.Settings) -> None:
    """Ends one run after the other for ever; says so of the first two."""
    async with composition.open_dispatcher(settings) as app:
        for number in itertools.count():
            proposal = await app.plans.plan([{"id": "a", "do": "Look"}])
            answer = await app.dispatch(plan_id=proposal.plan.id, worker="host")
            await app.report(answer.run_id, [{"task_id": "a", "attempt": 1, "text": "Done."}])
            if number < 2:
                sys.stdout.write("ended\n")
                sys.stdout.flush()


def alerts_of(home: Path) -> list[alert_box.Alert]:
    with closing(sqlite3.connect(home / "state.db")) as conn:
        rows = conn.execute("SELECT no, run, kind, at FROM alert ORDER BY no").fetchall()
    return [alert_box.Alert(no, run, kind, at, {}) for no, run, kind, at in rows]


def verdict(client: Client) -> dict[str, Any]:
    """What the store holds beside what the receiver heard."""
    alerts = {alert.id: alert for alert in alerts_of(client.home)}
    heard = Counter(delivery.id for delivery in client.receiver.deliveries)
    first = {delivery.id: delivery.at for delivery in reversed(client.receiver.deliveries)}
    bodies = {(delivery.id, delivery.body) for delivery in client.receiver.deliveries}
    delays = sorted(first[name] - alert.at for name, alert in alerts.items() if name in first)
    over = Counter(alert.run for alert in alerts.values() if alert.kind == "finished")
    order = [alerts[name].no for name in sorted(first, key=first.__getitem__) if name in alerts]
    return {
        "runs_ended": len(over),
        "alerts": len(alerts),
        "lost": len(alerts.keys() - heard.keys()),
        "unexpected": len(heard.keys() - alerts.keys()),
        "twice_for_one_run": sum(count > 1 for count in over.values()),
        "sent_again": sum(count - 1 for count in heard.values()),
        "changed_bodies": len(bodies) - len(heard),
        "out_of_order": sum(later < sooner for sooner, later in itertools.pairwise(order)),
        "delay_s": {name: round(delays[int(share * (len(delays) - 1))], 3) for name, share in SHARES.items()},
        "late": sum(delay > PROMISE_S for delay in delays),
        "faults": store_setup.faults(client.home),
    }


SHARES = {"p50": 0.5, "p95": 0.95, "p99": 0.99, "max": 1.0}


def main() -> int:
    parser = chaos_processes.parser(__doc__)
    parser.add_argument("--kills", type=int, default=8)
    parser.add_argument("--forked", action="store_true", help="kill forked processes, not whole servers")
    parser.add_argument("--folder", type=Path, help="where the nest of the forked processes is")
    parser.add_argument("--url", default="")
    parser.add_argument("--alone", action="store_true", help="no second server")
    options = parser.parse_args()
    if options.folder:
        nest(options.folder, options.url)
        return 0
    with tempfile.TemporaryDirectory() as name, alert_receiver.receiving() as receiver, ExitStack() as stack:
        client = Client(Path(name), receiver, random.Random(options.seed))
        (client.folder / "shop").mkdir()
        began = time.perf_counter()
        if not options.alone:
            stack.enter_context(client.start()).call("get_trace")
        kills = client.rage_forked(options.kills) if options.forked else client.rage(options.kills)
        with client.start() as server:
            server.call("get_trace")
            receiver.wait_for(len(alerts_of(client.home)))
            code = server.close()
        report = {"kills": kills, "seconds": round(time.perf_counter() - began, 1), "exit": code, **verdict(client)}
        print(json.dumps(report))  # noqa: T201  # the report
    wrong = ("lost", "unexpected", "twice_for_one_run", "changed_bodies", "out_of_order", "faults")
    return 1 if code or any(report[key] for key in wrong) else 0


if __name__ == "__main__":
    sys.exit(main())
