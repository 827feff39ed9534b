"""R2 for what lies beside the files of a repository: submodules with work of the user, and files that git ignores.

Tasks move a submodule, write a path that git ignores, commit inside of a submodule and leave loose edits there, while
their server is killed at its git commands, at named places of the store and at random. Then the run is applied, and
that is killed too.
"""

from __future__ import annotations

import contextlib
import functools
import itertools
import json
import os
import random
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections import Counter
from contextlib import closing, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import anyio

sys.path.insert(0, str(Path(__file__).parents[1] / "support"))
import chaos_processes
import merge_kills
import store_setup
import submodule_setup
from merge_kills import RUN, git

from dispatch_mcp import composition, errors, model
from dispatch_mcp.engine.driving import run_engine
from dispatch_mcp.model import TaskState, records, run_refs
from dispatch_mcp.service import checkouts
from dispatch_mcp.service.housekeeping import run_offers
from dispatch_mcp.store import failpoints

PUMP, VALVE = submodule_setup.PLACE, "parts/valve"
IGNORED = "local/settings.json"
PLACES = [name for name in failpoints.NAMES if name.endswith(("begin", "apply", "commit", "answer", "blob"))]
PRELUDE = """
import os, subprocess, sys
task, ledger, place, commit = sys.argv[1:5]
own = task + ' ' + os.urandom(8).hex() + '\\n'
def git(*words, cwd='.'):
    safe = ('-c', 'protocol.file.allow=always', '-c', 'user.name=w', '-c', 'user.email=w@example.org')
    return subprocess.run(['git', *safe, *words], cwd=cwd, check=True, capture_output=True, text=True).stdout.strip()
def fill():
    git('submodule', '--quiet', 'update', '--init', place)
def append(file):
    os.makedirs(os.path.dirname(file) or '.', exist_ok=True)
    open(file, 'a').write(task + ' was here\\n')
def note(thing):
    open(ledger, 'a').write(task + ' ' + os.path.basename(os.getcwd()) + ' ' + thing + '\\n')
"""
WORK = {
    "x": "append('list.txt')",
    "y": "append('list.txt')",
    "ignored": f"append({IGNORED!r})",
    "bump": "fill(); git('checkout', '-q', commit, cwd=place)",
    "inside": "fill(); open(place + '/a.txt', 'a').write(own); git('commit', '-qam', own, cwd=place); "
    "note(git('rev-parse', 'HEAD', cwd=place))",
    "loose": "append('log.txt'); file = place + '/new.txt'; open(file, 'w').write(own); note(git('hash-object', file))",
    "filled": "fill(); file = place + '/new.txt'; open(file, 'w').write(own); note(git('hash-object', file))",
    "after": "append('never.txt')",
}
FILES = {
    "x": "list.txt", "y": "list.txt", "ignored": IGNORED, "bump": VALVE, "inside": PUMP, "loose": "log.txt",
    "filled": PUMP, "after": "never.txt",
}  # fmt: skip
MERGED = ("x", "y", "ignored", "bump")
KEPT = ("inside", "loose", "filled")
NEVER = ("lost_of_user", "lost_inside", "unnamed", "dangling_links", "unmerged", "disorder", "false_success", "locks")


def plan_of(folder: Path) -> model.Plan:
    target = (folder / "target").read_text()

    def task(name: str, *deps: str) -> model.Task:
        place = VALVE if name == "bump" else PUMP
        argv = ("python", "-S", "-c", PRELUDE + WORK[name], name, str(folder / "ledger"), place, target)
        return model.Task(
            id=name, do=name, deps=deps, command=argv, files=(FILES[name],), isolation="worktree", attempts=20
        )

    free = [task(name) for name in WORK if name not in ("y", "after")]
    tasks = (*free, task("y", "x"), task("after", "inside"))
    return model.Plan(id="plan", tasks=tasks, workspace=str(folder / "repo"), max_parallel=4)


def prepare(folder: Path) -> Path:
    """Makes the repository: of two submodules, one with commits and edits of the user, the other with a newer commit.

    There are also files of the user that git ignores, one of them where a task writes.
    """
    repo = merge_kills.prepare(folder)
    pump = submodule_setup.add_submodule(repo, folder / "pump")
    valve = submodule_setup.add_submodule(repo, folder / "valve", VALVE)
    submodule_setup.write(repo, ".gitignore", "local/\nbuild/\n.env\n")
    git(repo, "add", ".gitignore")
    git(repo, "commit", "-q", "-m", "Ignore")
    for path in (IGNORED, "build/deep/out.bin", ".env"):
        submodule_setup.write(repo, path, "MINE\n")
    git(pump, "checkout", "-q", "-b", "mine")
    submodule_setup.write(pump, "own.txt", "mine\n")
    submodule_setup.commit(pump, "Of the user, pushed nowhere")
    submodule_setup.write(pump, "a.txt", "mine, not committed\n")
    submodule_setup.write(pump, "notes.txt", "mine, not tracked\n")
    submodule_setup.write(folder / "valve", "a.txt", "newer\n")
    (folder / "target").write_text(submodule_setup.commit(folder / "valve", "Newer"))
    git(valve, "fetch", "-q")
    return repo


def possessions(repo: Path, *, applied: bool = False) -> dict[str, str]:
    """Returns what is the user's: commits, branches and files of the checkout and of the submodules."""
    things: dict[str, str] = {}
    for name, at in (("", repo), (PUMP, repo / PUMP), (VALVE, repo / VALVE)):
        listing = git(at, "for-each-ref", "refs/heads", "refs/remotes", "--format=%(refname) %(objectname)")
        if not (applied and at == repo):
            things |= {f"{name} refs": listing, f"{name} HEAD": git(at, "rev-parse", "HEAD")}
            things |= {f"{name} branch": git(at, "branch", "--show-current")}
    names = ("own.txt", "notes.txt", "build/deep/out.bin", ".env", *(f"{PUMP}/{file}" for file in _INNER))
    paths = [*names, f"{VALVE}/a.txt", *([] if applied else [IGNORED, "list.txt"])]
    return things | {path: content(repo / path) for path in paths}


def content(path: Path) -> str:
    """Returns the text of a file, or that it is gone."""
    return path.read_text() if path.exists() else "GONE"


_INNER = ("own.txt", "a.txt", "notes.txt")


async def drive(folder: Path) -> None:
    """Drives the run to its end, as a server does; opens again what was given up after too many crashes."""
    pace = run_engine.Pace(look_s=0.01, takeover_s=0.1)
    async with composition.open_dispatcher(merge_kills.settings_of(folder), chat=False, pace=pace) as app:
        await merge_kills.begin(app.store, plan_of(folder))
        await app.engine.start(RUN)
        while True:
            async for _ in app.engine.events(RUN):
                pass
            rows = [row for row in await app.store.tasks(RUN) if row.state is TaskState.FAILED]
            crashed = [row.id for row in rows if row.id in MERGED or "submodule" not in _error(folder, row.id)]
            if not crashed:
                return
            for task_id in crashed:
                await app.engine.signal(RUN, records.Action("retry", task_id))


async def apply(folder: Path) -> None:
    """Applies the run, as a person does after having looked."""
    settings = merge_kills.settings_of(folder)
    offer = await run_offers.offer(settings, RUN)
    with suppress(errors.InputError):
        await run_offers.offer(settings, RUN, offer.revision)


def _rows(folder: Path, ask: str) -> list[tuple[Any, ...]]:
    with closing(sqlite3.connect(folder / "home" / "state.db")) as conn:
        return conn.execute(ask).fetchall()


def _error(folder: Path, task_id: str) -> str:
    """Returns why the newest attempt of a task failed."""
    ask = "SELECT error FROM attempt WHERE task = (SELECT no FROM task WHERE id = '{}') ORDER BY attempt DESC"
    rows = _rows(folder, ask.format(task_id))
    return str(rows[0][0] or "") if rows else ""


@dataclass
class Siege:
    """One run under attack: `kills` servers die while they work, and then so many while they apply it."""

    folder: Path
    rng: random.Random
    died: int = 0
    faults: list[str] = field(default_factory=list[str])
    lost: set[str] = field(default_factory=set[str])

    def __post_init__(self) -> None:
        self.repo = prepare(self.folder)
        self.property = possessions(self.repo)
        self.env = {**os.environ, "PATH": f"{self.folder / 'bin'}{os.pathsep}{os.environ['PATH']}"}

    def rage(self, kills: int, job: str, *, applied: bool = False) -> None:
        """Does a job, killed up to so many times more."""
        first = 1 + len((self.folder / "count").read_text())
        modes = ("before", "while", "after") if applied else ("before", "while", "after", "both")
        # A life of a server has room for about a hundred commands before all tasks are at work, and as many behind it.
        steps = [self.rng.randint(1, 20 if applied else 120) for _ in range(kills)]
        lines = [f"{first + at} {self.rng.choice(modes)}\n" for at in itertools.accumulate(steps)]
        (self.folder / "kills").write_text("".join(lines))
        end = self.died + kills
        while True:
            code, complaint = self.live(job, is_calm=self.died >= end)
            now = possessions(self.repo, applied=applied)
            self.lost |= {thing for thing in now if now[thing] != self.property[thing]}
            if broken := merge_kills.unsound(self.repo, over=code == 0):
                self.faults.append(f"fsck: {broken}")
            if code == 0:
                return
            if code != -signal.SIGKILL:
                self.faults.append(f"{job} ended with {code}: {complaint[-900:]}")
                return
            self.died += 1
            if self.died >= end:
                (self.folder / "kills").write_text("")

    def live(self, job: str, *, is_calm: bool) -> tuple[int, str]:
        """Runs one process until it ends or is killed: by its git, in the store, or at a random instant."""
        chance = 1.0 if is_calm else self.rng.random()
        life_s, failpoint = None, ""
        if chance < 0.25:
            life_s = self.rng.uniform(0.1, 7.3)
        elif chance < 0.5 and job == "drive":
            failpoint = f"{self.rng.choice(PLACES)}:kill:{self.rng.randint(1, 6)}"
        work = functools.partial({"drive": drive, "apply": apply}[job], self.folder)
        return chaos_processes.live(work, self.folder / "stderr", self.env, life_s, failpoint)

    def work_lost(self) -> int:
        """Counts what was done inside of a submodule and is neither in the user's copy of it nor in a worktree."""
        held = set(git(self.repo / PUMP, "rev-list", "--objects", "--no-object-names", "--all").split())
        for place in (self.folder / "home" / "worktrees").glob(f"*/*/{PUMP}"):
            with contextlib.suppress(subprocess.CalledProcessError):  # one that a kill has left half made holds nothing
                held |= set(git(place, "rev-list", "--all", "--reflog").split()) if (place / ".git").exists() else set()
            if (place / "new.txt").exists():
                held.add(git(self.repo, "hash-object", str(place / "new.txt")))
        return len({thing for _, _, thing in self.ledger()} - held)

    def ledger(self) -> list[list[str]]:
        """Returns what was done inside of submodules: by which task, in which worktree, and the object it made."""
        return [line.split() for line in (self.folder / "ledger").read_text().splitlines()]

    def unnamed(self) -> int:
        """Counts the worktrees with such work of which nothing says so."""
        refs = git(self.repo / PUMP, "for-each-ref", "--format=%(refname)", "refs/dispatch").split()
        kept = {".".join(ref.split("/")[-2:]) for ref in refs}
        left = anyio.run(lambda: checkouts.left_over(merge_kills.settings_of(self.folder))).trees
        noted = {f"{tree.task}.{tree.attempt}" for tree in left if PUMP in tree.note}
        told = {name for name in KEPT if PUMP in _error(self.folder, name)}
        places = {place for task, place, _ in self.ledger() if (task in told) <= (place not in noted | kept)}
        return len(places) + len(set(KEPT) - told)

    def dangling_links(self) -> int:
        """Counts the submodules that the run's commits move to where the user's copies cannot follow."""
        refs = run_refs.Refs(RUN)
        commits = git(self.repo, "rev-list", f"{refs.base}..{refs.merged}").split()
        moves = {(at, submodule_setup.link(self.repo, commit, at)) for commit in commits for at in (PUMP, VALVE)}
        return sum(not submodule_setup.has(self.repo / place, f"{link}^{{commit}}") for place, link in moves)

    def verdict(self) -> dict[str, Any]:
        """Compares what the store says with what the repositories hold."""
        refs = run_refs.Refs(RUN)
        states = dict(_rows(self.folder, "SELECT id, state FROM task"))
        trailer = "--format=%(trailers:key=Dispatch-Task,valueonly)"
        order = git(self.repo, "log", "--no-merges", "--reverse", trailer, f"{refs.base}..{refs.merged}").split()
        link = submodule_setup.link(self.repo, refs.merged, VALVE)
        done = [name for name in MERGED if states[name] in ("succeeded", "unverified") and name in order]
        return {
            "lost_inside": self.work_lost(),
            "unnamed": self.unnamed(),
            "dangling_links": self.dangling_links(),
            "unmerged": len(set(MERGED) - set(done)) + (link != (self.folder / "target").read_text()),
            "disorder": sum(count > 1 for count in Counter(order).values()) + (order.index("x") > order.index("y")),
            "false_success": sum(states[name] in ("succeeded", "unverified") for name in (*KEPT, "after")),
            "inner_works": len(self.ledger()),
        }

    def refusal(self) -> str:
        """Returns what is wrong with the first try to apply, with a file of the user in the way."""
        settings = merge_kills.settings_of(self.folder)
        offer = anyio.run(lambda: run_offers.offer(settings, RUN))
        try:
            anyio.run(functools.partial(run_offers.offer, settings, RUN, offer.revision))
        except errors.NotAllowed as refusal:
            return "" if IGNORED in str(refusal) else f"apply was refused for another reason: {refusal}"
        return "apply was not refused"


def besiege(folder: Path, rng: random.Random, kills: int) -> dict[str, Any]:
    """Lets one run and its applying be killed, and returns what it came to."""
    siege = Siege(folder, rng)
    applying = kills // 4
    siege.rage(kills - applying, "drive")
    if siege.faults:
        return {"kills": siege.died, "faults": siege.faults}
    found = siege.verdict()
    if trouble := siege.refusal():
        siege.faults.append(trouble)
    siege.lost |= {thing for thing, text in possessions(siege.repo).items() if text != siege.property[thing]}
    (siege.repo / IGNORED).rename(siege.repo / "local" / "mine.json")
    siege.rage(applying, "apply", applied=True)
    if content(siege.repo / "local" / "mine.json") != "MINE\n":
        siege.lost.add(IGNORED)
    if content(siege.repo / IGNORED) != "ignored was here\n":
        siege.faults.append("what was applied is not there")
    anyio.run(lambda: checkouts.left_over(merge_kills.settings_of(folder), prune=True))
    found["lost_inside"] += siege.work_lost()
    locks = list((siege.repo / ".git").rglob("*.lock"))
    rest = {"lost_of_user": len(siege.lost), "locks": len(locks), "survivors": merge_kills.survivors(folder)}
    faults = [*siege.faults, *(f"the user's {thing} changed" for thing in sorted(siege.lost))]
    return {"kills": siege.died, **found, **rest, "faults": faults + store_setup.faults(folder / "home")}


def main() -> int:
    parser = chaos_processes.parser(__doc__)
    parser.add_argument("--kills", type=int, default=24)
    parser.add_argument("--each", type=int, default=8, help="kills of one run at most")
    asked = parser.parse_args()
    rng, began = random.Random(asked.seed), time.perf_counter()
    total: Counter[str] = Counter()
    faults: list[str] = []
    while total["kills"] < asked.kills and not faults:
        with tempfile.TemporaryDirectory() as name:
            found = besiege(Path(name), rng, min(asked.each, asked.kills - total["kills"]))
        faults += found.pop("faults")
        total.update({**dict.fromkeys(NEVER, 0), **found, "runs": 1})
    report = {"seed": asked.seed, "seconds": round(time.perf_counter() - began, 1), **total, "faults": faults}
    print(json.dumps(report))  # noqa: T201  # the report
    return 1 if faults or any(total[name] for name in (*NEVER, "survivors")) else 0


if __name__ == "__main__":
    sys.exit(main())
