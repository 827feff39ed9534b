"""What the demo does: its requests, its plan, and what the assistant answers from real results."""

from __future__ import annotations

import glob
import sys
from collections.abc import Mapping, Sequence

from dispatch_mcp import model

REQUESTS = (
    "Users are logged out after five minutes although the JWT is valid for an hour",
    "The orders query takes four seconds, add the missing index and a migration",
    "Server crashes with a 500 error on startup since the last deploy",
    "What should we cook tonight?",
)

MEASURE = """\
import collections, hashlib, pathlib, subprocess
names = subprocess.run(["git", "ls-files", "-z"], capture_output=True, check=True).stdout.decode().split("\\0")
lines, size, seal = collections.Counter(), 0, hashlib.sha256()
for name in filter(None, names):
    path = pathlib.Path(name)
    if path.is_file() and not path.is_symlink():
        data = path.read_bytes()
        size += len(data)
        lines[path.suffix or path.name] += data.count(b"\\n")
        seal.update(hashlib.pbkdf2_hmac("sha256", data, b"demo", 2000))
for suffix, count in lines.most_common(5):
    print(f"{count:7} lines {suffix}")
print(f"{size / 1024:.0f} KiB in {len(names) - 1} files, seal {seal.hexdigest()[:12]}")
"""
"""A program that reads every tracked file; slow enough to be killed in the middle, and it writes nothing."""

SCAN = """\
import pathlib, re, subprocess, sys
names = subprocess.run(["git", "ls-files", "-z"], capture_output=True, check=True).stdout.decode().split("\\0")
for name in filter(None, names):
    path = pathlib.Path(name)
    if path.is_file() and not path.is_symlink():
        found = len(re.findall(sys.argv[1].encode(), path.read_bytes()))
        if found:
            print(f"{name}:{found}")
"""
"""A program that counts matches file by file; none at all is an answer too, which `git grep` calls a failure."""

_SCAN = (sys.executable, "-I", "-c", SCAN)

COMMANDS: Mapping[str, tuple[str, Sequence[str]]] = {
    "history": ("Read what happened lately", ("git", "log", "--oneline", "-n", "12")),
    "authors": ("Count commits by author", ("git", "shortlog", "-s", "-n", "HEAD")),
    "tests": ("Collect the tests", (*_SCAN, r"def test_|\bit\(|#\[test\]")),
    "todos": ("Scan for unfinished work", (*_SCAN, "TODO|FIXME|XXX")),
    "size": ("Measure every tracked file", (sys.executable, "-I", "-c", MEASURE)),
}

HOST_TASKS: Mapping[str, tuple[str, Sequence[str]]] = {
    "assess": (
        "Judge from history, authors and size where the risk of this repository lies",
        ("history", "authors", "size"),
    ),
    "quality": ("Judge from the tests and the open to-dos what to test next", ("tests", "todos")),
    "summary": ("Write a summary of both judgements for the team", ("assess", "quality")),
}


AGENTS = {"assess": "orch-judge", "quality": "eng-qa", "summary": "prod-techwriter"}
"""Who does the assistant's part; named, so that nothing is added for want of confidence."""


def allowed() -> list[list[str]]:
    """Returns the demo's allow-list, for its own state directory only; reading git commands are on it anyway."""
    programs = [argv for _, argv in COMMANDS.values() if argv[0] == sys.executable]
    return [[glob.escape(word) for word in argv] for argv in programs]


def tasks() -> list[dict[str, model.Json]]:
    """Returns the plan's tasks as a model would send them."""
    commands: list[dict[str, model.Json]] = [
        {"id": name, "do": goal, "command": list(argv), "effort": "L" if name == "size" else "S"}
        for name, (goal, argv) in COMMANDS.items()
    ]
    host_tasks: list[dict[str, model.Json]] = [
        {
            "id": name,
            "do": goal,
            "agent": AGENTS[name],
            "deps": list(deps),
            "output": ["Three sentences"],
            "effort": "M",
        }
        for name, (goal, deps) in HOST_TASKS.items()
    ]
    return commands + host_tasks


def answer(task_id: str, outputs: Mapping[str, str]) -> dict[str, model.Json]:
    """Returns what the assistant reports for one of its tasks, made from what the other tasks really found."""
    match task_id:
        case "assess":
            work = f"{first(outputs, 'size', last=True)}; {count(outputs, 'history')} recent commits read; "
            author = (first(outputs, "authors").split(maxsplit=1) or ["nobody"])[-1]
            work += f"most commits by {author}."
        case "quality":
            work = f"{count(outputs, 'tests')} files define tests, {count(outputs, 'todos')} hold a TODO or FIXME."
        case _:
            work = " ".join(outputs.get(name, "") for name in ("assess", "quality")).strip()
    return {"completed_work": work, "decisions_made": [f"Judged from {len(outputs)} results, nothing else read"]}


def first(outputs: Mapping[str, str], name: str, *, last: bool = False) -> str:
    """Returns the first or last line of a result."""
    lines = outputs.get(name, "").strip().splitlines() or [""]
    return lines[-1 if last else 0].strip()


def count(outputs: Mapping[str, str], name: str) -> int:
    """Returns how many lines a result has."""
    return len(outputs.get(name, "").strip().splitlines())
