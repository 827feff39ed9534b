"""Step-by-step attacks on a real server and its commands, from outside: what was attempted, and what held.

python tests/chaos/step_attacks.py [--json] [SECTION…]; sections are money, lines, numbers, pipes, drives, disks, keys,
repositories and secrets. Nothing of the package is called but through the pipe and the command line. Exit code 1 when
something did not hold; it is named.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1] / "support"))
import fake_provider
import hostile_repository
import memory_client
import raw_server

PING_S = 1.0
"""Seconds of the clock that others may wait while something large is read."""

PATIENCE_S = 30.0
"""Seconds of the clock for an answer: on a busy machine the first call loads for a while."""

TOKEN = "gh" + "p_" + "a1B2c3D4e" * 4
VALUE = "correct-horse-7-battery"


class Lab:
    """One section's place, and what held of what was attempted."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.shop = memory_client.repository(folder / "shop")
        self.home = folder / "state"
        self.attempted = 0
        self.broken: list[str] = []

    def holds(self, what: str, held: object) -> None:
        self.attempted += 1
        if not held:
            self.broken.append(what)

    @contextmanager
    def server(self, home: Path | None = None, **more: str) -> Generator[raw_server.Wire]:
        env = raw_server.environment(home or self.home, self.shop, [["sh", "-c", "**"]], **more)
        with raw_server.Wire(env, self.shop, era="legacy") as wire:
            wire.greet()
            yield wire
            if wire.process.poll() is None:
                wire.close(20)

    def command(self, *words: str, home: Path | None = None, **more: str) -> subprocess.CompletedProcess[str]:
        env = raw_server.environment(home or self.home, self.shop, [["sh", "-c", "**"]], **more)
        argv = [sys.executable, "-m", "dispatch_mcp", *words]
        return subprocess.run(argv, env=env, cwd=self.shop, capture_output=True, text=True, timeout=120, check=False)


def refusal(wire: raw_server.Wire, tool: str, **arguments: Any) -> str:
    """Returns why a call is refused, an empty string when it is not."""
    try:
        wire.call(tool, **arguments)
    except raw_server.Refused as why:
        return str(why)
    return ""


def begun(wire: raw_server.Wire, *names: str, **more: Any) -> dict[str, Any]:
    """Returns a new run of the host's with its assignments."""
    tasks = [{"id": name, "do": f"Write {name} of {time.monotonic_ns()}", "agent": "Plan"} for name in names]
    plan_id = wire.call("plan_dag", tasks=tasks, max_parallel=40)["plan_id"]
    return {"plan_id": plan_id, **wire.call("dispatch", plan_id=plan_id, worker="host", **more)}


def money(lab: Lab) -> None:
    with lab.server() as wire:
        for limits in ({"dollars": 0.01}, {"tokens": 500}, {"dollars": 0.000_001, "tokens": 10**9}):
            task = {"id": "a", "do": "Rewrite the whole shop", "effort": "XL", "model": "opus", "agent": "Plan"}
            plan_id = wire.call("plan_dag", tasks=[task])["plan_id"]
            answer = wire.call("dispatch", plan_id=plan_id, worker="host", limits=limits, fresh=True)
            lab.holds(f"an XL task begins below {limits}", not answer.get("assignments"))
            run_id = answer["run_id"]
            trace = wire.call("get_trace", run_id=run_id)
            lab.holds(f"{limits}: it waits and says at what", trace["state"] == "paused" and "limits." in trace["held"])
            for name in ("beyond_forecast", "begin_anyway"):
                why = refusal(wire, "dispatch", run_id=run_id, limits={name: True})
                lab.holds(f"a tool says {name}", "no such limit" in why)
            why = refusal(wire, "dispatch", run_id=run_id, limits={"dollars": 50, "tokens": 10**10})
            lab.holds("an assistant raises a ceiling", "Only a person" in why)
        run = begun(wire, "a", "b", limits={"dollars": 5}, fresh=True)
        used = {"input_tokens": 10**9, "cost_usd": 6}
        done = [{**raw_server.done(one), "usage": used} for one in run["assignments"][:1]]
        wire.call("report", run_id=run["run_id"], results=done)
        after = wire.call("dispatch", run_id=run["run_id"])
        ids = {one["task_id"] for one in run["assignments"]}
        lab.holds("more begins when all is spent", {one["task_id"] for one in after.get("assignments", [])} <= ids)
    look: dict[str, Any] = {"tool": "list_files", "input": {}}
    with fake_provider.opened() as fake:
        for ceiling in (0.01, 0.1, 0.5):
            fake.reset()
            env = {"ANTHROPIC_API_KEY": fake_provider.KEY, "ANTHROPIC_BASE_URL": fake.url}
            goal = f"Write it {fake_provider.script(*[look] * 8, fake_provider.done())}"
            with lab.server(lab.folder / f"api{ceiling}", **env) as wire:
                tasks = [{"id": name, "do": goal, "effort": "S", "model": "sonnet"} for name in "abc"]
                plan_id = wire.call("plan_dag", tasks=tasks)["plan_id"]
                run_id = wire.call("dispatch", plan_id=plan_id, worker="api", limits={"dollars": ceiling})["run_id"]
                state = wire.call("get_trace", run_id=run_id, wait_s=20)["state"]
                lab.holds(f"api below ${ceiling}: a state that says where it is", state != "running")
            lab.holds(f"api below ${ceiling}: the provider booked {fake.booked():.4f}", fake.booked() <= ceiling)


def lines(lab: Lab) -> None:
    units = ("a", " ", "(", "<", '"', "`", "/", ".", "- ", "a.", "1", "{", "\\", "é", "a=", "@", "| ", "#")
    with lab.server() as wire:
        # What a server loads with the first call of each tool is not what is attacked here.
        wire.call("plan_dag", request="Fix the cart and write its tests")
        wire.call("route_task", task="Fix the cart")
        wire.call("review_council", diff="--- a/x.py\n+++ b/x.py\n@@ -1 +1 @@\n-a\n+b\n")
        run = begun(wire, *[f"t{n}" for n in range(len(units))])
        for number, unit in enumerate(units):
            long = unit * (60_000 // len(unit))
            diff = f"diff --git a/x.py b/x.py\n--- a/x.py\n+++ b/x.py\n@@ -0,0 +1 @@\n+{long}\n"
            result = {"task_id": f"t{number}", "attempt": 1, "text": f"Done.\n{long}\n"}
            doors = {
                "diff": ("review_council", {"diff": diff}),
                "request": ("route_task", {"task": f"Fix {long}"}),
                "plan": ("plan_dag", {"request": f"Fix {long}"}),
                "task": ("plan_dag", {"tasks": [{"id": "a", "do": long, "files": [long[:200]], "acceptance": [long]}]}),
                "handoff": ("report", {"run_id": run["run_id"], "results": [result]}),
            }
            for door, (tool, arguments) in doors.items():
                call = wire.send("tools/call", {"name": tool, "arguments": arguments})
                began = time.monotonic()
                ping = wire.send("ping", {})
                seen = {call: 0.0, ping: 0.0}
                while not all(seen.values()):
                    message = json.loads(wire.line(60))
                    if message.get("id") in seen:
                        seen[message["id"]] = time.monotonic() - began
                lab.holds(f"{door} of 60 KB of {unit!r}: a ping took {seen[ping]:.1f} s", seen[ping] < PING_S)
    folder = lab.shop / ".claude" / "agents"
    folder.mkdir(parents=True)
    for number, unit in enumerate(units):
        long = unit * (60_000 // len(unit))
        (folder / f"a{number}.md").write_text(
            f"---\nname: a{number}\ndescription: {long}\ntriggers: {long}\n---\n{long}"
        )
        began = time.monotonic()
        done = lab.command("agents", "lint")
        lab.holds(f"an agent file of 60 KB of {unit!r}", done.returncode in (0, 1) and time.monotonic() - began < 20)
        (folder / f"a{number}.md").unlink()


def numbers(lab: Lab) -> None:
    values = (2**53, 2**62, 2**63, 10**23, 10**400, 1.7e308, -1, True, float("nan"), float("inf"))
    with lab.server() as wire:
        run = begun(wire, "a", "b")
        run_id, plan_id = run["run_id"], run["plan_id"]
        for value in values:
            task = {"id": "a", "do": "Write"}
            calls = [
                *(
                    ("dispatch", {"plan_id": plan_id, "limits": {name: value}})
                    for name in ("dollars", "tokens", "tasks")
                ),
                *(
                    ("dispatch", {"run_id": run_id, "limits": {name: value}})
                    for name in ("minutes", "fan_out", "depth")
                ),
                ("plan_dag", {"tasks": [task], "max_parallel": value}),
                ("plan_dag", {"plan_id": plan_id, "base_version": value, "edits": [{"op": "skip", "id": "a"}]}),
                *(("plan_dag", {"tasks": [{**task, name: value}]}) for name in ("timeout_s", "attempts")),
                *(("plan_dag", {"tasks": [{**task, "limits": {name: value}}]}) for name in ("dollars", "tokens")),
                ("report", {"run_id": run_id, "results": [{"task_id": "a", "attempt": value, "text": "x"}]}),
                *(
                    ("report", {"run_id": run_id, "results": [{"task_id": "a", "attempt": 1, "usage": {name: value}}]})
                    for name in ("input_tokens", "output_tokens", "cost_usd", "seconds")
                ),
            ]
            for tool, arguments in calls:
                if value == 2**53 and ("dollars" in json.dumps(arguments) or "tokens" in json.dumps(arguments)):
                    continue
                why = refusal(wire, tool, **arguments)
                lab.holds(f"{tool} takes {arguments}", why and "-32603" not in why)
        trace = wire.call("get_trace", run_id=run_id, view="all")
        lab.holds("the run is as it was", trace["counts"].get("running") == 2)
    for value in ("1e400", "-1", "nan", "9" * 400, "9223372036854775808", "true", ""):
        for name in ("MAX_DOLLARS", "MAX_TOKENS", "WORKER_TURNS"):
            done = lab.command("status", home=lab.home, **{f"DISPATCH_MCP_{name}": value})
            lab.holds(f"{name}={value[:30]}", (done.returncode == 2) == bool(value) and "Traceback" not in done.stderr)


def pipes(lab: Lab) -> None:
    head = b'{"jsonrpc":"2.0","id":%d,"method":"tools/call","params":{"name":"get_trace","arguments":'
    odd = [
        (head + b'{"run_id":"\\ud83d"}}}\n', "id"),
        (head + b'{"a":' * 250 + b"1" + b"}" * 250 + b"}}\n", "id"),
        (head + b"[" * 100_000 + b"]" * 100_000 + b"}}\n", "id"),
        (head + b"{\n", "id"),
        (head + b'{"cursor":' + b"9" * 5_000 + b"}}}\n", "id"),
        (head + b'{"run_id":"\xff\xfe\xf0\x9f"}}}\n', "id"),
        (head + b"[1]}}\n", "id"),
        (head + b"null}}\n", "id"),
        (b'{"id":%d,"method":"tools/list"}\n', "id"),
        (b'{"jsonrpc":"1.0","id":%d,"method":"tools/list"}\n', "id"),
        (b'{"jsonrpc":"2.0","id":%d,"method":"tools/list","params":[1]}\n', "id"),
        (b'{"jsonrpc":"2.0","id":%d,"method":"no/such"}\n', "id"),
        (b'{"jsonrpc":"2.0","id":%d,"method":7}\n', "id"),
        (b'[{"jsonrpc":"2.0","id":%d,"method":"ping"}]\n', "id"),
        (b'{"jsonrpc":"2.0","id":null,"method":"ping"}\n', None),
        (b'{"jsonrpc":"2.0","id":1.5,"method":"ping"}\n', None),
        (b'{"jsonrpc":"2.0","id":true,"method":"ping"}\n', None),
        (b"\xff\xfe{\x00}\x00\n", None),
        (b"nonsense\n", None),
        (b'"text"\n', None),
        (b"\xef\xbb\xbf" + b'{"jsonrpc":"2.0","id":%d,"method":"ping"}\r\n', "id"),
        (head + b'{"run_id":"' + b"x" * (17 << 20) + b'"}}}\n', "id"),
    ]
    for moment in ("before", "after"):
        with lab.server(lab.folder / moment) as wire:
            if moment == "after":
                wire.call("get_trace")
            for number, (data, wanted) in enumerate(odd, 500):
                wire.write(data.replace(b"%d", str(number).encode()))
                answer = next_answer(wire)
                right = answer.get("id") == (number if wanted else None) and answer.keys() & {"error", "result"}
                lab.holds(f"{moment}: {data[:120]!r} is answered {str(answer)[:80]}", right)
            lab.holds(f"{moment}: a request after all of them", wire.request("tools/list")["tools"])
            lab.holds(f"{moment}: the client leaves", wire.close(5) == 0)


def next_answer(wire: raw_server.Wire) -> dict[str, Any]:
    """Returns the next message with an id, an empty object when none comes in time."""
    with suppress(TimeoutError):
        while True:
            message: dict[str, Any] = json.loads(wire.line(PATIENCE_S))
            if "id" in message:
                return message
    return {}


def drives(lab: Lab) -> None:
    def trouble(what: str, harm: Callable[[Path], None]) -> None:
        shop = memory_client.repository(lab.folder / f"d{lab.attempted}" / "shop")
        env = raw_server.environment(lab.folder / f"d{lab.attempted}" / "state", shop, [["sh", "-c", "**"]])
        with raw_server.Wire(env, shop, era="legacy") as wire:
            wire.greet()
            argv = ["sh", "-c", "touch ../began; sleep 1; echo x >> app.py"]
            tasks = [{"id": name, "do": "Edit", "command": argv, "files": ["app.py"]} for name in "ab"]
            plan_id = wire.call("plan_dag", tasks=tasks, on_conflict="worktree")["plan_id"]
            run_id = wire.call("dispatch", plan_id=plan_id, worker="command")["run_id"]
            time.sleep(0.5)
            harm(shop)
            until, state = time.monotonic() + 90, "running"
            while state == "running" and time.monotonic() < until:
                state = refusal_or_state(wire, run_id)
            lab.holds(f"{what}: {state} after 90 s", state != "running")
            lab.holds(f"{what}: others are served", wire.request("tools/list")["tools"])

    trouble("nothing", lambda _shop: None)
    trouble("the repository's objects are gone", lambda shop: shutil.rmtree(shop / ".git" / "objects"))
    trouble("the repository is no repository any more", lambda shop: shutil.rmtree(shop / ".git"))
    trouble("the workspace is gone", shutil.rmtree)
    trouble("git is locked", lambda shop: (shop / ".git" / "index.lock").touch())
    trouble(
        "the worktrees are gone", lambda shop: shutil.rmtree(shop.parent / "state" / "worktrees", ignore_errors=True)
    )


def refusal_or_state(wire: raw_server.Wire, run_id: str) -> str:
    try:
        return str(wire.call("get_trace", run_id=run_id, wait_s=5)["state"])
    except raw_server.Refused as why:
        return f"refused: {str(why)[:80]}"


READS: tuple[tuple[str, dict[str, Any]], ...] = (("get_trace", {}), ("route_task", {"task": "Fix the cart"}))
WRITES: tuple[tuple[str, dict[str, Any]], ...] = (("plan_dag", {"tasks": [{"id": "z", "do": "Write z"}]}),)


def disks(lab: Lab) -> None:
    def harmed(what: str, harm: Callable[[Path], None], *, running: bool, reads: bool) -> None:
        home = lab.folder / f"h{lab.attempted}"
        with lab.server(home) as wire:
            begun(wire, "a")
            if running:
                harm(home)
                served(what, wire, reads=reads)
        if not running:
            harm(home)
            with lab.server(home) as wire:
                served(what, wire, reads=reads)
            done = lab.command("status", home=home)
            lab.holds(f"{what}: status says it", "Traceback" not in done.stderr)
            doctor = lab.command("doctor", home=home)
            lab.holds(f"{what}: doctor says it", "Traceback" not in doctor.stderr)

    def served(what: str, wire: raw_server.Wire, *, reads: bool) -> None:
        for tool, arguments in WRITES:
            why = refusal(wire, tool, **arguments)
            lab.holds(f"{what}: {tool} is refused with the reason", reads == (not why) and "-32603" not in why)
        for tool, arguments in READS:
            lab.holds(f"{what}: {tool} answers", "-32603" not in refusal(wire, tool, **arguments))
        lab.holds(f"{what}: the client leaves", wire.close(5) == 0)

    database = "state.db"
    harmed("removed", shutil.rmtree, running=False, reads=True)
    harmed("an empty file", lambda home: empty(home, b""), running=False, reads=False)
    harmed("letters", lambda home: empty(home, b"Dear Ann, " * 900), running=False, reads=False)
    harmed("cut in the middle", lambda home: os.truncate(home / database, 9_000), running=False, reads=False)
    harmed("somebody else's", foreign, running=False, reads=False)


def empty(home: Path, data: bytes) -> None:
    for path in home.glob("state.db*"):
        path.unlink()
    (home / "state.db").write_bytes(data)


def foreign(home: Path) -> None:
    empty(home, b"")
    script = "import sqlite3, sys; c = sqlite3.connect(sys.argv[1]); c.execute('CREATE TABLE mine (x)'); c.commit()"
    subprocess.run([sys.executable, "-c", script, str(home / "state.db")], check=True)


def keys(lab: Lab) -> None:
    with lab.server() as wire:
        plans = [wire.call("plan_dag", tasks=[{"id": n, "do": f"Write {n}", "agent": "Plan"}])["plan_id"] for n in "ab"]
        first = wire.call("dispatch", plan_id=plans[0], worker="host", request_key="k")["run_id"]
        again = wire.call("dispatch", plan_id=plans[0], worker="host", request_key="k")["run_id"]
        lab.holds("the same request finds its run", first == again)
        for other in (
            {"plan_id": plans[1], "worker": "host"},
            {"plan_id": plans[0], "worker": "command"},
            {"plan_id": plans[0], "worker": "host", "dry_run": True},
            {"plan_id": plans[0], "worker": "host", "fresh": True},
            {"plan_id": plans[0], "worker": "host", "roster": "growth"},
            {"plan_id": plans[0], "worker": "host", "limits": {"dollars": 3}},
        ):
            why = refusal(wire, "dispatch", request_key="k", **other)
            lab.holds(f"the key with {other}: {why[:80]}", first in why)


def repositories(lab: Lab) -> None:
    hostile = hostile_repository.Hostile(lab.folder / "hostile")
    lab.shop = hostile.repo
    for words in (["status"], ["doctor"], ["context", "Fix total()"], ["review"], ["route", "Fix it"], ["agents"]):
        lab.command(*words)
        lab.holds(f"{words[0]} starts {hostile.left()}", not hostile.left())
    with lab.server() as wire:
        reading = ["git status", "git diff --stat", "git log --stat -n 3", "git grep -n line", "git ls-files -m"]
        looks = [{"id": f"l{n}", "do": "Look", "command": line.split()} for n, line in enumerate(reading)]
        edit = ["sh", "-c", "echo 'x = 1' > new.py"]
        work = {"id": "w", "do": "Write", "command": edit, "files": ["new.py"], "isolation": "worktree"}
        plan_id = wire.call("plan_dag", tasks=[*looks, work])["plan_id"]
        run_id = wire.call("dispatch", plan_id=plan_id, worker="command")["run_id"]
        while wire.call("get_trace", run_id=run_id, wait_s=10)["state"] == "running":
            pass
        for line in reading:
            lab.holds(f"{line} in a run starts {hostile.left()}", not hostile.left())
        outside = lab.folder / "outside.txt"
        outside.write_text("not of the repository\n")
        refusals = (f"--no-index {outside} {outside}", f"--output={outside}", f"-- {outside}", "-- ../..", "--ext-diff")
        for arguments in refusals:
            task = {"id": "g", "do": "Look", "command": ["git", "diff", *arguments.split()]}
            why = refusal(wire, "plan_dag", tasks=[task])
            lab.holds(f"git diff {arguments}", why or not may_run(wire, task))
    lab.command("apply", run_id)
    lab.holds(f"apply starts {hostile.left()}", not hostile.left())


def may_run(wire: raw_server.Wire, task: Mapping[str, Any]) -> bool:
    plan_id = wire.call("plan_dag", tasks=[task])["plan_id"]
    with suppress(raw_server.Refused):
        run_id = wire.call("dispatch", plan_id=plan_id, worker="command", fresh=True)["run_id"]
        return wire.call("get_trace", run_id=run_id, wait_s=10)["state"] == "succeeded"
    return False


def secrets(lab: Lab) -> None:
    both = f"the token {TOKEN} and {VALUE}"
    with lab.server(SHOP_PASSWORD=VALUE) as wire:
        task = {
            "id": "a",
            "do": both,
            "constraints": [both],
            "inputs": {"note": both},
            "agent": "Plan",
            "output": [both],
        }
        plan_id = wire.call("plan_dag", tasks=[task], request=both)["plan_id"]
        run_id = wire.call("dispatch", plan_id=plan_id, worker="host", request_key=both)["run_id"]
        note = {"run_id": run_id, "sender": "b", "recipient": "a", "kind": "request", "text": both}
        refusal(wire, "message_agents", **note)
        handoff = {"completed_work": both, "decisions_made": [both], "open_questions": [both]}
        results = [{"task_id": "a", "attempt": 1, "text": both, "handoff": handoff, "error": both}]
        wire.call("report", run_id=run_id, results=results)
        refusal(wire, "steer_run", run_id=run_id, action="pause", reason=both)
        refusal(wire, "review_council", diff=f"--- a/x\n+++ b/x\n@@ -1 +1 @@\n-{both}\n+{both}\n")
        said = b"\n".join(wire.lines)
    stored = b"".join(path.read_bytes() for path in lab.home.rglob("*") if path.is_file())
    for name, secret in (("token", TOKEN), ("value", VALUE)):
        lab.holds(f"the {name} is below the home", secret.encode() not in stored)
        lab.holds(f"the {name} is in an answer", secret.encode() not in said)
        for words in (
            ["status"],
            ["trace", run_id],
            ["trace", run_id, "--view", "results"],
            ["status", run_id, "--json"],
        ):
            done = lab.command(*words, SHOP_PASSWORD=VALUE)
            lab.holds(f"the {name} in {words}", secret not in done.stdout + done.stderr)
        done = lab.command("route", f"Fix {secret}", SHOP_PASSWORD=VALUE)
        lab.holds(f"the {name} that was typed comes back", secret not in done.stdout + done.stderr)


SECTIONS: Mapping[str, Callable[[Lab], None]] = {
    "money": money,
    "lines": lines,
    "numbers": numbers,
    "pipes": pipes,
    "drives": drives,
    "disks": disks,
    "keys": keys,
    "repositories": repositories,
    "secrets": secrets,
}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sections", nargs="*", metavar="SECTION", help="which (default: all)")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    report: dict[str, Any] = {}
    for name in options.sections or SECTIONS:
        with tempfile.TemporaryDirectory() as folder:
            lab = Lab(Path(folder))
            began = time.monotonic()
            SECTIONS[name](lab)
            held = lab.attempted - len(lab.broken)
            report[name] = {"attempted": lab.attempted, "held": held, "broken": lab.broken}
            if not options.json:
                line = f"{name:13} {lab.attempted:4} attempted, {held:4} held, {time.monotonic() - began:.0f} s"
                print("\n    BROKEN ".join([line, *lab.broken]), flush=True)  # noqa: T201  # the report
    if options.json:
        print(json.dumps(report))  # noqa: T201
    return int(any(part["broken"] for part in report.values()))


if __name__ == "__main__":
    sys.exit(main())
