"""R2 for git: a run whose tasks change one repository is killed at its git commands, again and again.

A program called `git` comes first on the PATH. It counts, and at chosen commands it kills the server before, while or
after git does its work, or both at once; so a kill can fall between any two steps of making a worktree, keeping a
change and merging, and inside of them.
With `--mixed` half of the writers are agents that ask a fake provider, and every second server is also killed at a
random instant.
"""

from __future__ import annotations

import functools
import json
import os
import random
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import closing, nullcontext, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import anyio

from dispatch_mcp import composition, configuration, errors, model
from dispatch_mcp.engine.driving import run_engine
from dispatch_mcp.model import TaskState, WorkerKind, records, run_refs
from dispatch_mcp.service import checkouts
from dispatch_mcp.store import sqlite_store

sys.path.insert(0, str(Path(__file__).parents[1] / "support"))
import chaos_processes
import fake_provider
import store_setup

RUN = "run"
SLOTS = 4
MODEL = "claude-haiku-5-5"
WRAPPER = """\
#!/bin/sh
[ -n "$GIT_CEILING_DIRECTORIES" ] || exec {git} "$@"
printf x >> "{folder}/count"
n=$(($(wc -c < "{folder}/count")))
mode=$(sed -n "s/^$n //p" "{folder}/kills")
case "$mode" in
before) kill -9 $PPID; exit 1;;
while) kill -9 $PPID; exec {git} "$@";;
both) {git} "$@" & sleep 0.003; kill -9 $PPID $!; exit 1;;
after) {git} "$@"; code=$?; kill -9 $PPID; exit $code;;
*) exec {git} "$@";;
esac
"""
FILL = """
import sys
task, file, old, new, ledger = sys.argv[1:]
text = open(file).read()
open(file, 'w').write(text.replace(old + '\\n', new + '\\n') if old != '-' else text + new + '\\n')
open(ledger, 'a').write(task + '\\n')
"""


def git(at: Path, *arguments: str) -> str:
    return subprocess.run(["git", *arguments], cwd=at, check=True, capture_output=True, text=True).stdout.strip()


def plan_of(folder: Path, *, mixed: bool) -> model.Plan:
    """Four writers of one file that merge, two that clash at another's end, one that builds on all, one that looks."""

    def writer(name: str, file: str, old: str, *deps: str) -> model.Task:
        argv = ("python", "-S", "-c", FILL, name, file, old, f"{name} was here", str(folder / "ledger"))
        return model.Task(id=name, do=name, deps=deps, command=argv, files=(file,), isolation="worktree", attempts=20)

    def agent(name: str, old: str) -> model.Task:
        step = {"tool": "edit_file", "input": {"path": "slots.txt", "old": f"{old}\n", "new": f"{name} was here\n"}}
        goal = f"TASK-{name} {fake_provider.script(step, fake_provider.done())}"
        return model.Task(
            id=name, do=goal, worker=WorkerKind.API, model=MODEL, files=("slots.txt",), attempts=20
        )  # fmt: skip

    slots = [f"slot{slot}" for slot in range(SLOTS)]
    tasks = [
        agent(name, f"slot {at}") if mixed and at % 2 else writer(name, "slots.txt", f"slot {at}")
        for at, name in enumerate(slots)
    ]
    tasks += [writer(name, "list.txt", "-") for name in ("x", "y")]
    tasks.append(writer("last", "list.txt", "-", "x", "y", *slots))
    look = ("python", "-S", "-c", "print(open('list.txt').read() + open('slots.txt').read())")
    tasks.append(model.Task(id="look", do="look", deps=("last",), command=look))
    return model.Plan(id="plan", tasks=tuple(tasks), workspace=str(folder / "repo"), max_parallel=4)


def prepare(folder: Path) -> Path:
    """Makes the repository, with changes of the user that nobody may touch."""
    repo = folder / "repo"
    repo.mkdir(parents=True)
    git(repo, "init", "-q", "-b", "main")
    (repo / "list.txt").write_text("first\n")
    (repo / "own.txt").write_text("mine\n")
    (repo / "slots.txt").write_text("".join(f"slot {slot}\n" + "filler\n" * 8 for slot in range(SLOTS)))
    git(repo, "add", "-A")
    git(repo, "commit", "-q", "-m", "First")
    (repo / "own.txt").write_text("mine, not committed\n")
    (repo / "notes.txt").write_text("mine, not tracked\n")
    (folder / "bin").mkdir()
    wrapper = folder / "bin" / "git"
    wrapper.write_text(WRAPPER.format(git=shutil.which("git"), folder=folder))
    wrapper.chmod(0o755)
    (folder / "kills").write_text("")
    (folder / "ledger").write_text("")
    (folder / "count").write_text("")
    return repo


def settings_of(folder: Path) -> configuration.Settings:
    """Returns the settings of a server that may run the writers."""
    env = {
        "DISPATCH_MCP_HOME": str(folder / "home"),
        "DISPATCH_MCP_WORKSPACE": str(folder / "repo"),
        "DISPATCH_MCP_ALLOW_COMMANDS": json.dumps([["python", "-S", "-c", "**"]]),
        "DISPATCH_MCP_GRACE_S": "0.2",
    }
    return configuration.load(env, cwd=folder).settings


async def drive(folder: Path, *, mixed: bool) -> None:
    """Drives the run to its end, as a server does; opens what was given up after too many crashes."""
    pace = run_engine.Pace(look_s=0.01, takeover_s=0.1)
    async with composition.open_dispatcher(settings_of(folder), chat=False, pace=pace) as app:
        await begin(app.store, plan_of(folder, mixed=mixed))
        await app.engine.start(RUN)
        while True:
            async for _ in app.engine.events(RUN):
                pass
            lost = [task.id for task in await app.store.tasks(RUN) if task.state is TaskState.FAILED]
            if not lost:
                return
            for task_id in lost:
                await app.engine.signal(RUN, records.Action("retry", task_id))


async def begin(store: sqlite_store.Store, plan: model.Plan) -> None:
    with suppress(errors.StaleVersion):
        await store.save_plan(plan, records.LOCAL)
    new = records.NewRun(
        id=RUN, plan_id=plan.id, plan_version=1, worker=WorkerKind.COMMAND, workspace=plan.workspace, request_key="once"
    )
    await store.create_run(new)


@dataclass
class Watch:
    """What must hold however often the server dies."""

    folder: Path
    repo: Path
    provider: fake_provider.Provider | None = None
    state: tuple[str, ...] = ()
    finished: dict[str, int] = field(default_factory=dict[str, int])
    clashed: Counter[str] = field(default_factory=Counter[str])
    paid_twice: set[str] = field(default_factory=set[str])
    faults: list[str] = field(default_factory=list[str])

    def executions(self) -> Counter[str]:
        """Returns how often each writer's program ran, and how often the provider was asked for an agent's."""
        ran = Counter((self.folder / "ledger").read_text().split())
        for entry in self.provider.requests() if self.provider else ():
            text = json.dumps(entry["body"])
            ran.update(name for name in (f"slot{slot}" for slot in range(SLOTS)) if f"TASK-{name} " in text)
        return ran

    def checkout(self) -> tuple[str, ...]:
        files = ("own.txt", "notes.txt", "list.txt", "slots.txt")
        texts = tuple((self.repo / name).read_text() for name in files)
        return (git(self.repo, "rev-parse", "HEAD"), git(self.repo, "status", "--porcelain"), *texts)

    def look(self, *, over: bool) -> None:
        """Notes which tasks had finished, and that those before were not carried out again.

        A change that turned out to clash when it was merged was not finished: its task has to be carried out again.
        """
        ran = self.executions()
        refs = git(self.repo, "for-each-ref", "--format=%(refname)", "refs/dispatch").split()
        clashed = Counter(ref.split("/")[4] for ref in refs if "/conflicts/" in ref)
        for name in clashed - self.clashed:
            self.finished.pop(name, None)
        self.clashed = clashed
        self.paid_twice |= {name for name, count in self.finished.items() if ran[name] > count}
        for name in (ref.split("/")[4] for ref in refs if "/done/" in ref):
            self.finished.setdefault(name, ran[name])
        if self.checkout() != self.state:
            self.faults.append("the checkout was touched")
        if broken := unsound(self.repo, over=over):
            self.faults.append(f"fsck: {broken}")


def unsound(repo: Path, *, over: bool) -> str:
    """Returns what fsck says against a repository; a git that outlived its server gets three seconds to finish.

    A git that was killed while it made a worktree leaves half an entry, which the next attempt takes away.
    """
    end = time.monotonic() + 3.0
    while True:
        done = subprocess.run(
            ["git", "fsck", "--no-dangling"], cwd=repo, check=False, capture_output=True, text=True
        )  # fmt: skip
        said = (done.stdout + done.stderr).strip() if done.returncode else done.stdout.strip()
        # Such a line reads "worktrees/x.2/HEAD: detached HEAD points …".
        half_made = all("worktrees/" in line for line in said.splitlines())
        if not said or (half_made and not over):
            return ""
        if time.monotonic() > end:
            return said
        time.sleep(0.1)


def schedule(rng: random.Random, kills: int) -> Iterator[tuple[int, str]]:
    at = 0
    for _ in range(kills):
        at += rng.randint(1, 14)
        yield at, rng.choice(("before", "while", "after", "both"))


def rage(folder: Path, rng: random.Random, kills: int, provider: fake_provider.Provider | None) -> dict[str, Any]:
    """Lets one run be killed up to so many times, and returns what it came to."""
    watch = Watch(folder, prepare(folder), provider)
    watch.state = watch.checkout()
    (folder / "kills").write_text("".join(f"{at} {mode}\n" for at, mode in schedule(rng, kills)))
    env = {**os.environ, **(provider.env() if provider else {})}
    env["PATH"] = f"{folder / 'bin'}{os.pathsep}{os.environ['PATH']}"
    died = 0
    while True:
        hasty = provider is not None and died < kills and rng.random() < 0.5
        life_s = rng.uniform(0.1, 3.3) if hasty else None
        work = functools.partial(drive, folder, mixed=provider is not None)
        code, said = chaos_processes.live(work, folder / "stderr", env, life_s)
        watch.look(over=code == 0)
        if code == 0:
            break
        if code != -signal.SIGKILL:
            return {"kills": died, "faults": [*watch.faults, f"exit {code}: {said[-600:]}"]}
        died += 1
    return {"kills": died, **verdict(watch)}


def verdict(watch: Watch) -> dict[str, Any]:
    """Compares what the store says with what the repository holds."""
    refs = run_refs.Refs(RUN)
    writers = [task.id for task in plan_of(watch.folder, mixed=watch.provider is not None).tasks if task.files]
    said = "--format=%(trailers:key=Dispatch-Task,valueonly)"
    merged = Counter(git(watch.repo, "log", "--no-merges", said, f"{refs.base}..{refs.merged}").split())
    texts = [git(watch.repo, "show", f"{refs.merged}:{name}") for name in ("list.txt", "slots.txt")]
    lines = "\n".join(texts).splitlines()
    marks = Counter(line.removesuffix(" was here") for line in lines if line.endswith(" was here"))
    with closing(sqlite3.connect(watch.folder / "home" / "state.db")) as conn:
        states = dict(conn.execute("SELECT id, state FROM task"))
        ended = conn.execute("SELECT task, data FROM event WHERE kind = 'attempt_finished'").fetchall()
        clashes = conn.execute("SELECT count(*) FROM attempt WHERE error_kind = 'merge_conflict'").fetchone()[0]
    accepted = Counter(task for task, data in ended if json.loads(data)["state"] == "succeeded")
    return {
        "lost": sum(marks[name] == 0 or merged[name] == 0 for name in writers),
        "merged_twice": sum(marks[name] > 1 or merged[name] > 1 for name in writers),
        "accepted_twice": sum(count > 1 for count in accepted.values()),
        "paid_twice": len(watch.paid_twice),
        "unfinished": sum(state not in ("succeeded", "unverified") for state in states.values()),
        "clashes": clashes,
        "left_behind": git(watch.repo, "worktree", "list").count("\n"),
        "worktrees": tidied(watch),
        "locks": len(list((watch.repo / ".git").rglob("*.lock"))),
        "survivors": survivors(watch.folder),
        "faults": watch.faults + store_setup.faults(watch.folder / "home"),
    }


def tidied(watch: Watch) -> int:
    """Returns how many worktrees are still there after tidying up."""
    anyio.run(lambda: checkouts.left_over(settings_of(watch.folder), prune=True))
    return git(watch.repo, "worktree", "list").count("\n")


def survivors(folder: Path) -> int:
    """Counts processes that still know the folder, two seconds after the last of its servers has ended."""
    end = time.monotonic() + 2.0
    while (left := _knowing(folder)) and time.monotonic() < end:
        time.sleep(0.05)
    return left


def _knowing(folder: Path) -> int:
    count = 0
    for entry in Path("/proc").glob("[0-9]*/cmdline"):
        with suppress(OSError):
            count += str(folder).encode() in entry.read_bytes() and int(entry.parent.name) != os.getpid()
    return count


def main() -> int:
    parser = chaos_processes.parser(__doc__)
    parser.add_argument("--kills", type=int, default=24)
    parser.add_argument("--each", type=int, default=8, help="kills of one run at most")
    parser.add_argument("--mixed", action="store_true", help="agents too, and kills at random instants")
    asked = parser.parse_args()
    if asked.mixed:
        fake_provider.load()  # once, and not in every life
    rng, began = random.Random(asked.seed), time.perf_counter()
    total: Counter[str] = Counter()
    faults: list[str] = []
    while total["kills"] < asked.kills and not faults:
        provider = fake_provider.opened() if asked.mixed else nullcontext()
        with tempfile.TemporaryDirectory() as name, provider as asked_of:
            found = rage(Path(name), rng, min(asked.each, asked.kills - total["kills"]), asked_of)
        faults += found.pop("faults")
        total.update(found)
        total["runs"] += 1
    report = {"seed": asked.seed, "seconds": round(time.perf_counter() - began, 1), **total, "faults": faults}
    print(json.dumps(report))  # noqa: T201  # the report
    bad = ("lost", "merged_twice", "accepted_twice", "paid_twice", "unfinished", "worktrees", "locks", "survivors")
    return 1 if faults or any(total[name] for name in bad) else 0


if __name__ == "__main__":
    sys.exit(main())
