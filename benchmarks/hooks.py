"""What a hook costs from the start of its process, beside the interpreter's own start, in one run.

python benchmarks/hooks.py [--rounds N]; exit code 1 when a bound is missed. All kinds take turns, so that whatever else
the machine does falls on each of them; bytecode is compiled before the first counted start. The time of the processor
that is counted is that of the hook and, where one answers, of the server of its session meanwhile.
"""

from __future__ import annotations

import argparse
import compileall
import contextlib
import json
import os
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import anyio

import dispatch_mcp
from dispatch_mcp import composition, configuration, model
from dispatch_mcp.hooks import hook_program

IDLE_P50_S, IDLE_P95_S, ACTING_S = 0.060, 0.120, 0.250
SESSION = "session-1"


@dataclass
class Kind:
    """One event in a folder: what it is called, the bound of its median in seconds, and what its starts took."""

    label: str
    name: str
    event: Mapping[str, Any]
    bound_s: float
    home: Path
    folder: Path
    server: Server | None = None
    wall: list[float] = field(default_factory=list[float])
    cpu: list[float] = field(default_factory=list[float])
    answer: Mapping[str, Any] = field(default_factory=dict[str, Any])

    def start(self) -> None:
        """Starts the hook once and keeps what it took and printed."""
        argv = (
            [sys.executable, "-m", "dispatch_mcp", "hook", self.name] if self.name else [sys.executable, "-c", "pass"]
        )
        env = {
            "PATH": os.environ["PATH"],
            "PYTHONPATH": str(Path(dispatch_mcp.__file__).parents[1]),
            "DISPATCH_MCP_HOME": str(self.home),
            "CLAUDE_PROJECT_DIR": str(self.folder),
            "CLAUDE_PID": str(os.getpid()),
        }
        if self.server:
            env["CLAUDE_CODE_SESSION_ID"] = SESSION
        before = self.server.cpu_s() if self.server else 0.0
        begin = time.perf_counter()
        process = subprocess.Popen(
            argv, env=env, cwd=self.folder, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
        )
        assert process.stdin
        assert process.stdout
        with process.stdin, process.stdout:
            process.stdin.write(json.dumps(self.event).encode())
            process.stdin.close()
            printed = process.stdout.read()
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        assert process.returncode == 0, self.label
        self.answer = json.loads(printed or b"{}")
        self.wall.append(time.perf_counter() - begin)
        of_server = self.server.cpu_s() - before if self.server else 0.0
        self.cpu.append(usage.ru_utime + usage.ru_stime + of_server)


class Server:
    """The server of a session in a folder, and the lines between it and its client."""

    def __init__(self, home: Path, folder: Path) -> None:
        env = {
            "PATH": os.environ["PATH"],
            "PYTHONPATH": str(Path(dispatch_mcp.__file__).parents[1]),
            "DISPATCH_MCP_HOME": str(home),
            "DISPATCH_MCP_WORKSPACE": str(folder),
            "DISPATCH_MCP_REVIEWS": "none",
            "CLAUDE_CODE_SESSION_ID": SESSION,
        }
        argv = [sys.executable, "-m", "dispatch_mcp", "serve"]
        self.process = subprocess.Popen(argv, env=env, cwd=folder, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self._number = 0
        hello = {"protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": {"name": "bench", "version": "1"}}
        self._ask("initialize", hello)
        self._write({"method": "notifications/initialized"})

    def call(self, tool: str, **arguments: Any) -> Mapping[str, Any]:
        """Returns the structured answer of a tool."""
        return self._ask("tools/call", {"name": tool, "arguments": arguments})["structuredContent"]

    def cpu_s(self) -> float:
        """Returns the seconds of the processor that the server has had."""
        fields = Path(f"/proc/{self.process.pid}/stat").read_text("ascii").rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def close(self) -> None:
        """Ends the server."""
        assert self.process.stdin
        self.process.stdin.close()
        self.process.wait(30)

    def _write(self, message: Mapping[str, Any]) -> None:
        assert self.process.stdin
        self.process.stdin.write(json.dumps({"jsonrpc": "2.0", **message}).encode() + b"\n")
        self.process.stdin.flush()

    def _ask(self, method: str, params: Mapping[str, Any]) -> Mapping[str, Any]:
        assert self.process.stdout
        self._number += 1
        self._write({"id": self._number, "method": method, "params": params})
        while True:
            message = json.loads(self.process.stdout.readline())
            if message.get("id") == self._number and "method" not in message:
                return message["result"]


class Carried:
    """A session with a server that begins an attempt of a new run and reports it, hook by hook."""

    def __init__(self, root: Path) -> None:
        self.root, self.home, self.folder = root, root / "served", root / "project"
        self.folder.mkdir()
        for number in range(200):
            (self.folder / f"module{number}.py").write_text(f"def f{number}(x):\n    return x + {number}\n")
        subprocess.run(["git", "init", "-q"], cwd=self.folder, check=True)
        self.server = Server(self.home, self.folder)
        base = {"session_id": SESSION, "cwd": str(self.folder), "transcript_path": str(root / f"{SESSION}.jsonl")}
        self.kinds = [
            Kind(f"its server: {label}", name, base, ACTING_S, self.home, self.folder, self.server)
            for label, name in (
                ("a call of its tools", "PreToolUse"),
                ("a brief", "PreToolUse"),
                ("a result", "SubagentStop"),
                ("what is next", "PostToolUse"),
                ("the end of a turn", "Stop"),
            )
        ]

    def turn(self) -> None:
        """Does a task of a new run: each hook once."""
        contact, brief, end, news, stop = self.kinds
        self._start(contact, tool_name="mcp__plugin_dispatch_dispatch__dispatch", tool_input={}, tool_use_id="t0")
        tasks = [{"id": name, "do": f"Count the {name}"} for name in ("apples", "pears")]
        plan = self.server.call("plan_dag", tasks=tasks)
        progress = self.server.call("dispatch", plan_id=plan["plan_id"], worker="host")
        call = progress["assignments"][0]["call"]
        self._start(brief, tool_name="Agent", tool_input=call, tool_use_id="t1")
        text = brief.answer["hookSpecificOutput"]["updatedInput"]["prompt"]
        transcript = self.root / SESSION / "subagents" / "agent-a.jsonl"
        transcript.parent.mkdir(parents=True, exist_ok=True)
        usage = {"input_tokens": 9_000, "output_tokens": 700, "cache_read_input_tokens": 40_000}
        said = [
            {"type": "assistant", "message": {"id": f"m{n}", "model": "claude-sonnet-5-5", "usage": usage}}
            for n in range(40)
        ]
        rows = [{"type": "user", "message": {"content": text}}, *said]
        transcript.write_text("".join(f"{json.dumps(row)}\n" for row in rows))
        handoff = json.dumps({"completed_work": "There are three."})
        self._start(end, agent_id="a", agent_transcript_path=str(transcript), last_assistant_message=handoff)
        self._start(news, tool_name="Agent", tool_input={**call, "prompt": text}, tool_response={"status": "completed"})
        assert "unverified" in news.answer["hookSpecificOutput"]["additionalContext"], news.answer
        self._start(stop)
        self.server.call("steer_run", run_id=progress["run_id"], action="cancel")

    def _start(self, kind: Kind, **fields: Any) -> None:
        kind.event = {**kind.event, **fields}
        kind.start()


class Orphaned:
    """A session without a server that begins attempts of a new run under a ceiling, hands one in and ends."""

    def __init__(self, root: Path) -> None:
        self.root, self.home, self.folder = root, root / "orphaned", root / "left"
        self.folder.mkdir()
        base = {"session_id": "left", "cwd": str(self.folder), "transcript_path": str(root / "left.jsonl")}
        self.kinds = [
            Kind(f"no server: {label}", name, base, ACTING_S, self.home, self.folder)
            for label, name in (
                ("a brief under a ceiling", "PreToolUse"),
                ("a damaged handoff", "SubagentStop"),
                ("a result", "SubagentStop"),
                ("a brief after a result", "PreToolUse"),
                ("a denial at a ceiling", "PreToolUse"),
                ("an unknown name", "PreToolUse"),
                ("what is next", "PostToolUse"),
                ("what it held is freed", "SessionEnd"),
            )
        ]

    def turn(self) -> None:
        """Does each once, and waits until what was kept has been taken."""
        brief, damaged, end, later, denial, unknown, news, farewell = self.kinds
        names = anyio.run(handed, self.home, self.folder, model.Limits(dollars=50))
        text = self._call(brief, names[0])["updatedInput"]["prompt"]
        transcript = self.root / "left" / "subagents" / "agent-a.jsonl"
        transcript.parent.mkdir(parents=True, exist_ok=True)
        transcript.write_text(json.dumps({"type": "user", "message": {"content": text}}) + "\n")
        handoff = json.dumps({"completed_work": "There are three."})
        for kind, answer in ((damaged, f"```json\n{handoff[:-1]}\n```"), (end, handoff)):
            kind.event = {**kind.event, "agent_transcript_path": str(transcript), "last_assistant_message": answer}
            kind.start()
        assert damaged.answer["decision"] == "block", damaged.answer
        self._take()
        self._call(later, names[1])
        with contextlib.closing(sqlite3.connect(self.home / "state.db", isolation_level=None)) as conn:
            conn.execute("UPDATE attempt SET overdrawn = 'limits.dollars is 50, spent are 50' WHERE state = 'running'")
        for kind, name in ((denial, names[2]), (unknown, "dispatch nobody/apples/1")):
            answer = self._call(kind, name)
            assert answer["permissionDecision"] == "deny", (kind.label, answer)
        call = {"tool_name": "Agent", "tool_input": {"prompt": text}, "tool_response": {"status": "completed"}}
        news.event = {**news.event, **call}
        for kind in (news, farewell):
            kind.start()
        self._take()

    def _call(self, kind: Kind, name: str) -> Mapping[str, Any]:
        """Returns what a call by a name is answered."""
        call = {"prompt": name, "description": "x", "subagent_type": "general-purpose"}
        kind.event = {**kind.event, "tool_name": "Agent", "tool_input": call, "tool_use_id": name}
        kind.start()
        return kind.answer["hookSpecificOutput"]

    def _take(self) -> None:
        """Takes what is kept, so that nothing does so beside what is measured."""
        argv = [sys.executable, "-m", "dispatch_mcp", "hook", hook_program.TAKE, str(self.folder)]
        subprocess.run(argv, env={**os.environ, "DISPATCH_MCP_HOME": str(self.home)}, cwd=self.folder, check=True)


async def handed(home: Path, folder: Path, limits: model.Limits = model.Limits()) -> list[str]:
    """Returns the names of the attempts of a new run that are out with the host of that folder."""
    env = {"DISPATCH_MCP_HOME": str(home), "DISPATCH_MCP_REVIEWS": "none"}
    settings = configuration.load(env, cwd=folder).settings
    async with composition.open_dispatcher(settings, purpose=composition.PLAN) as app:
        app.hooks = "full"
        plan = await app.plans.plan([{"id": name, "do": f"Count the {name}"} for name in ("apples", "pears", "plums")])
        progress = await app.dispatch(plan_id=plan.plan.id, worker="host", limits=limits)
        for handout in progress.assignments:  # on a busy machine a brief follows what names it
            while not await app.store.kept_brief(  # noqa: ASYNC110  # a task of the dispatcher writes it
                progress.run_id, handout.task_id, handout.attempt
            ):
                await anyio.sleep(0.05)
        return [handout.call.prompt for handout in progress.assignments]


def kinds(root: Path) -> list[Kind]:
    """Returns what is measured where nothing is ours, or a look or one row is enough."""
    home, here, elsewhere = root / "home", root / "here", root / "elsewhere"
    here.mkdir()
    elsewhere.mkdir()
    name = anyio.run(handed, home, here)[0]
    transcript = root / "s" / "subagents" / "agent-a.jsonl"
    transcript.parent.mkdir(parents=True)
    transcript.write_text(json.dumps({"type": "user", "message": {"content": "Find the bug"}}) + "\n")
    base = {"session_id": "s", "cwd": str(here), "transcript_path": str(root / "s.jsonl")}
    own = {**base, "tool_name": "Agent", "tool_input": {"prompt": name}, "tool_use_id": "t"}
    bad = {**own, "tool_input": {"prompt": f"{name[:-1]}7"}}
    foreign = {**base, "agent_transcript_path": str(transcript)}
    start = {**base, "source": "startup"}
    return [
        Kind("python -c pass", "", {}, 1, home, here),
        Kind("idle: no store", "SessionStart", start, IDLE_P50_S, root / "none", elsewhere),
        Kind("idle: no run open here", "SessionStart", start | {"cwd": str(elsewhere)}, IDLE_P50_S, home, elsewhere),
        Kind(
            "idle: another subagent's call",
            "PreToolUse",
            {**own, "tool_input": {"prompt": "x"}},
            IDLE_P50_S,
            home,
            here,
        ),
        Kind("a look: start of a session", "SessionStart", start, ACTING_S, home, here),
        Kind("a look: another subagent's end", "SubagentStop", foreign, ACTING_S, home, here),
        Kind("a look: end of a turn", "Stop", base, ACTING_S, home, here),
        Kind("a look: a refusal", "PreToolUse", bad, ACTING_S, home, here),
        Kind("one row: a brief", "PreToolUse", own, ACTING_S, home, here),
    ]


def report(rows: list[Kind]) -> bool:
    """Prints what each kind took, and returns whether the bounds hold; judged is the time of the processor."""
    own = statistics.median(rows[0].cpu)
    holds = True
    for kind in rows:
        wall, cpu = sorted(kind.wall), sorted(kind.cpu)
        p95 = cpu[int(len(cpu) * 0.95)]
        ok = statistics.median(cpu) <= kind.bound_s and (kind.bound_s != IDLE_P50_S or p95 <= IDLE_P95_S)
        holds = holds and ok
        sys.stdout.write(
            f"{kind.label:32} processor p50 {statistics.median(cpu) * 1e3:6.1f} p95 {p95 * 1e3:6.1f} ms "
            f"({statistics.median(cpu) / own:5.1f} x python), wall p50 {statistics.median(wall) * 1e3:6.1f} "
            f"p95 {wall[int(len(wall) * 0.95)] * 1e3:6.1f} ms{'' if ok else '  MISSED'}\n"
        )
    return holds


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=30)
    rounds = parser.parse_args().rounds
    compileall.compile_dir(str(Path(dispatch_mcp.__file__).parent), quiet=2)
    with tempfile.TemporaryDirectory(prefix="hooks-") as folder:
        rows = kinds(Path(folder).resolve())
        carried, orphaned = Carried(Path(folder).resolve()), Orphaned(Path(folder).resolve())
        for _ in range(rounds + 1):
            for kind in rows:
                kind.start()
            carried.turn()
            orphaned.turn()
        carried.server.close()
        rows += [*carried.kinds, *orphaned.kinds]
        for kind in rows:  # the first start of each warms the disk
            del kind.wall[0], kind.cpu[0]
        return 0 if report(rows) else 1


if __name__ == "__main__":
    sys.exit(main())
