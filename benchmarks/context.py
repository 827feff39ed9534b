"""Whether packs hold what a task changes, beside strong FTS5 and grep in the same run, and what gathering costs.

    python benchmarks/context.py [FOLDER] [--cache FOLDER] [--packages N | --all] [--tokenizer FILE] [--no-times]
    [--peers]

FOLDER has `dev/*.jsonl`, `dev/history/*.jsonl.gz` and `dev/sdists.txt`; default: DISPATCH_MCP_CONTEXT_DATA, else
../shared/data/context beside the checkout. The workspaces are source distributions that pip downloads into the cache
(default: DISPATCH_MCP_CONTEXT_CACHE, else the user's cache folder); what is there already is not fetched again.
Beside what gathering costs stand the stages of a cold index, and how soon a first pack comes while it is still made.
Scores are those of the collection's own scorer: a snippet costs its characters / 3.6 + 12 tokens and counts while the
sum stays within 5,000. Packs over budget are counted with a tokenizer file if one is given. With `--peers` aider ranks
the files too, in an environment of its own; its map shows signatures and no bodies, so that only its files count.
"""

# pyright: basic, reportMissingImports=false
# The rows are JSON of others, and `tokenizers` is there only for who asks for it.
from __future__ import annotations

import argparse
import functools
import gc
import gzip
import json
import os
import re
import resource
import shutil
import sqlite3
import statistics
import subprocess
import sys
import tarfile
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import anyio
import platformdirs

import peer_environments
from dispatch_mcp.context import (
    chunks,
    context_query,
    file_index,
    file_listing,
    git_log,
    import_graph,
    pack_gatherer,
    packs,
    safe_read,
)
from dispatch_mcp.text import languages, secret_paths

CHECKOUT = Path(__file__).resolve().parents[1]
BUDGET = 5_000
PACKAGES = 18
GOALS = {"r@5": 0.85, "r@10": 0.92, "func_line": 0.77, "hit": 0.86, "named": 0.98}
COLUMNS = ("r@1", "r@5", "r@10", "func_line", "hit", "ctx", "named")
FIRST_PACKS = 8
BOUNDS = {1_000: {"cold": 0.6, "filter p95": 40.0}, 10_000: {"cold": 5.0, "refresh": 0.05, "filter p95": 70.0}}

Span = tuple[str, int, int]


@dataclass
class Selection:
    """What one method chose for one case."""

    ranked: Sequence[str]
    spans: Sequence[Span]
    named: Sequence[str] = ()


@dataclass
class Case:
    """One task with what its commit changed, and the folder it is about."""

    row: dict[str, Any]
    place: Path
    texts: dict[str, list[str]] = field(default_factory=dict[str, list[str]])

    @property
    def task(self) -> str:
        return self.row["full"]

    def lines(self, path: str) -> list[str]:
        if path not in self.texts:
            file = self.place / path
            self.texts[path] = file.read_text("utf-8", "replace").split("\n") if file.is_file() else []
        return self.texts[path]


Method = Callable[[Case], Selection]


def main() -> int:
    options = arguments()
    data, cache = Path(options.folder), Path(options.cache)
    if not (data / "dev" / "sdists.txt").is_file():
        print(f"no context data in {data}; give its folder as the argument or in DISPATCH_MCP_CONTEXT_DATA")
        return 0
    wanted = wanted_sdists(data, None if options.all else options.packages)
    places = {name: place for name in wanted if (place := unpacked(name, cache)) is not None}
    print(f"{len(places)} of {len(wanted)} source distributions in {cache}")
    cases = [Case(row, places[row["sdist"]["requirement"]]) for row in rows(data) if usable(row, places)]
    missed = quality(cases, data, options.tokenizer, peers=options.peers)
    if not options.no_times:
        missed += times(list(places.values()), [case.task for case in cases])
    for line in missed:
        print(f"missed: {line}")
    return 1 if missed else 0


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    data = os.environ.get("DISPATCH_MCP_CONTEXT_DATA") or CHECKOUT / ".." / "shared" / "data" / "context"
    cache = os.environ.get("DISPATCH_MCP_CONTEXT_CACHE") or platformdirs.user_cache_dir("dispatch-mcp-benchmarks")
    parser.add_argument("folder", nargs="?", default=str(data))
    parser.add_argument("--cache", default=str(cache))
    parser.add_argument("--packages", type=int, default=PACKAGES, help="source distributions, those with most cases")
    parser.add_argument("--all", action="store_true", help="every source distribution")
    parser.add_argument("--tokenizer", help="a tokenizer.json to count the packs' tokens with")
    parser.add_argument("--peers", action="store_true", help="beside aider's repository map, which is installed for it")
    parser.add_argument("--no-times", action="store_true", help="only the quality")
    return parser.parse_args()


def wanted_sdists(data: Path, most: int | None) -> list[str]:
    lines = (data / "dev" / "sdists.txt").read_text("utf-8").splitlines()
    listed = [line.split("\t") for line in lines if line and not line.startswith("#")]
    listed.sort(key=lambda row: -int(row[4]))
    return [row[0] for row in listed[:most]]


def unpacked(name: str, cache: Path) -> Path | None:
    """Returns the folder of a source distribution, downloaded if it is not there; None when that fails."""
    place = cache / name.replace("==", "-")
    if place.is_dir():
        return place
    cache.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=cache) as folder:
        project = name.partition("==")[0]
        pip = [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "--no-binary", project, "-d", folder, name]
        done = subprocess.run(pip, check=False, capture_output=True, text=True)
        archives = sorted(Path(folder).glob("*.tar.gz"))
        if done.returncode != 0 or not archives:
            print(f"not downloaded: {name}")
            return None
        with tarfile.open(archives[0]) as archive:
            archive.extractall(Path(folder, "x"), filter="data")
        next(Path(folder, "x").iterdir()).rename(place)
    return place


def rows(data: Path) -> Iterator[dict[str, Any]]:
    for file in sorted((data / "dev").glob("*.jsonl")):
        yield from (json.loads(line) for line in file.read_text("utf-8").splitlines() if line.strip())


def usable(row: dict[str, Any], places: dict[str, Path]) -> bool:
    about = row.get("sdist") or {}
    return bool(about.get("verified")) and about["requirement"] in places


def quality(cases: Sequence[Case], data: Path, tokenizer: str | None, *, peers: bool) -> list[str]:
    with tempfile.TemporaryDirectory() as state, pack_gatherer.Gatherer(Path(state)) as gatherer:
        made: list[packs.Pack] = []
        histories = {case.row["repo"]: history(case.row["repo"], data) for case in cases}
        methods: dict[str, Method] = {
            "grep": grep,
            "plain FTS5": Fts(),
            "strong FTS5": Fts(strong=True),
            "packs": lambda case: packed(gatherer, case, None, made),
            "packs + history": lambda case: packed(gatherer, case, histories[case.row["repo"]], made),
        }
        if peers and (maps := aider(cases)) is not None:
            methods["aider's map"] = maps
        print(f"\n{len(cases)} cases, {BUDGET:,} tokens")
        print(f"{'':18}" + "".join(f"{name:>11}" for name in COLUMNS))
        scores = {name: averaged(method, cases) for name, method in methods.items()}
        for held in histories.values():
            held.close()
    for name, got in scores.items():
        print(f"{name:18}" + "".join(f"{got[column]:11.3f}" for column in COLUMNS))
    print(f"{'goal':18}" + "".join(f"{GOALS[column]:11.2f}" if column in GOALS else " " * 11 for column in COLUMNS))
    over = over_budget(made, tokenizer)
    print(f"packs over budget: {over} of {len(made)} ({'by ' + tokenizer if tokenizer else 'by our own count'})")
    best = {column: max(scores["packs"][column], scores["packs + history"][column]) for column in GOALS}
    missed = [f"{name} is {best[name]:.3f}, the goal {goal}" for name, goal in GOALS.items() if best[name] < goal]
    return missed + ([f"{over} packs are over budget"] if over else [])


def aider(cases: Sequence[Case]) -> Method | None:
    """Returns what aider ranks and shows for each case; None where it cannot be installed."""
    answers = peer_environments.maps([{"place": str(case.place), "task": case.task} for case in cases])
    if answers is None:
        return None
    by_case = {id(case): answer for case, answer in zip(cases, answers, strict=True)}
    return lambda case: Selection(by_case[id(case)]["ranked"], (), by_case[id(case)]["shown"])


def averaged(method: Method, cases: Sequence[Case]) -> dict[str, float]:
    total: Counter[str] = Counter()
    for case in cases:
        total.update(scored(case, method(case)))
    return {name: total[name] / len(cases) for name in COLUMNS}


def scored(case: Case, chosen: Selection) -> dict[str, float]:
    """Returns the scores of one case as the collection's scorer counts them."""
    gold = {one["path"]: one for one in case.row["gold"]}
    shown: dict[str, set[int]] = defaultdict(set)
    used = 0.0
    for path, first, last in chosen.spans:
        cost = sum(len(line) + 1 for line in case.lines(path)[first - 1 : last]) / 3.6 + 12
        if used + cost <= BUDGET:
            used += cost
            shown[path].update(range(first, last + 1))
    wanted = {
        (path, at) for path, one in gold.items() for first, last, _ in one["spans"] for at in range(first, last + 1)
    }
    edited = {(path, at) for path, one in gold.items() for at in one["lines"]}
    there = {(path, at) for path, lines in shown.items() for at in lines}
    named = {*shown, *chosen.named}
    ranks = {f"r@{k}": sum(path in chosen.ranked[:k] for path in gold) / len(gold) for k in (1, 5, 10)}
    return {
        **ranks,
        "func_line": len(wanted & there) / len(wanted) if wanted else 0.0,
        "hit": float(bool(edited & there)),
        "ctx": sum(path in shown for path in gold) / len(gold),
        "named": sum(path in named for path in gold) / len(gold),
    }


def packed(
    gatherer: pack_gatherer.Gatherer, case: Case, past_commits: pack_gatherer.PastCommits | None, made: list[packs.Pack]
) -> Selection:
    held = past_commits.until(case.row["date"], case.row["commit"]) if past_commits else None
    pack = gatherer.pack(case.place, case.task, budget=BUDGET, past_commits=held)
    made.append(pack)
    return Selection(pack.ranked, [(item.path, item.first, item.last) for item in pack.chosen], pack.also)


def history(repo: str, data: Path) -> pack_gatherer.PastCommits:
    file = data / "dev" / "history" / f"{repo.partition('/')[2]}.jsonl.gz"
    with gzip.open(file, "rt", encoding="utf-8") as lines:
        found = [json.loads(line) for line in lines]
    return pack_gatherer.PastCommits(
        [git_log.Commit(sha, at, subject, tuple(files)) for sha, at, subject, files in found]
    )


def over_budget(made: Iterable[packs.Pack], tokenizer: str | None) -> int:
    if tokenizer is None:
        return sum(pack.tokens > BUDGET for pack in made)
    from tokenizers import Tokenizer  # noqa: PLC0415  # only who asks for it needs the library

    counter = Tokenizer.from_file(tokenizer)
    return sum(len(counter.encode(pack.text).ids) > BUDGET for pack in made)


class Fts:
    """FTS5 over functions of source files, weighted 4/6/1 and nothing else: the floor to beat.

    A strong one drops stop words and counts the words of the title twice.
    """

    def __init__(self, *, strong: bool = False) -> None:
        self.strong = strong
        self.kept: dict[Path, sqlite3.Connection] = {}

    def __call__(self, case: Case) -> Selection:
        db = self.kept.get(case.place) or self.opened(case.place)
        plain = list(dict.fromkeys(re.findall(r"[A-Za-z]{2,}", case.task.lower())))
        query = context_query.read(case.task)
        words = " OR ".join(f'"{word}"' for word in ([*query.words, *query.title] if self.strong else plain))
        found = db.execute(
            "SELECT path, first, last FROM (SELECT rowid, bm25(words, 4.0, 6.0, 1.0) AS score FROM words"
            " WHERE words MATCH ? ORDER BY score LIMIT 300) AS hits JOIN parts ON parts.id = hits.rowid ORDER BY score",
            (words,),
        ).fetchall()
        ranked = list(dict.fromkeys(path for path, _, _ in found))
        return Selection(ranked, within(case, found, BUDGET - 500), ranked[:40])

    def opened(self, place: Path) -> sqlite3.Connection:
        with tempfile.TemporaryDirectory() as state, file_index.FileIndex(Path(state), place) as made:
            made.refresh()
            parts = made.db.execute(
                "SELECT chunks.id, path, name, first, last FROM chunks JOIN files ON files.id = file"
                " WHERE role = 'source'"
            ).fetchall()
        db = self.kept[place] = sqlite3.connect(":memory:")
        db.execute("CREATE TABLE parts (id INTEGER PRIMARY KEY, path TEXT, first INTEGER, last INTEGER)")
        db.execute("CREATE VIRTUAL TABLE words USING fts5 (path, name, body, tokenize = 'porter unicode61')")
        texts = {path: (place / path).read_text("utf-8", "replace").split("\n") for _, path, *_ in parts}
        db.executemany("INSERT INTO parts VALUES (?, ?, ?, ?)", [(at, path, a, b) for at, path, _, a, b in parts])
        db.executemany(
            "INSERT INTO words (rowid, path, name, body) VALUES (?, ?, ?, ?)",
            [
                (
                    at,
                    context_query.split_names(path),
                    context_query.split_names(name),
                    context_query.split_names("\n".join(texts[path][a - 1 : b])),
                )
                for at, path, name, a, b in parts
            ],
        )
        return db


def within(case: Case, spans: Iterable[Span], budget: float) -> list[Span]:
    kept: list[Span] = []
    for path, first, last in spans:
        cost = sum(len(line) + 1 for line in case.lines(path)[first - 1 : last]) / 3.6 + 12
        if cost <= budget:
            kept.append((path, first, last))
            budget -= cost
    return kept


def grep(case: Case) -> Selection:
    """Ranks source files by how many distinct words of the task they hold, and shows five lines round each hit."""
    words = set(re.findall(r"[a-z]{3,}", case.task.lower())) - {"the", "and", "for", "with", "when", "from", "that"}
    counts: list[tuple[int, str, list[int]]] = []
    for file in sorted(case.place.rglob("*")):
        path = file.relative_to(case.place).as_posix()
        if languages.role(path) != "source" or not file.is_file():
            continue
        hits = [(at, {word for word in words if word in line.lower()}) for at, line in enumerate(case.lines(path), 1)]
        held: set[str] = set().union(*(found for _, found in hits))
        best = sorted((hit for hit in hits if hit[1]), key=lambda hit: -len(hit[1]))
        if held:
            counts.append((len(held), path, [at for at, _ in best[:6]]))
    counts.sort(key=lambda one: (-one[0], one[1]))
    spans = [(path, max(1, at - 5), at + 5) for _, path, places in counts for at in places]
    ranked = [path for _, path, _ in counts]
    return Selection(ranked, within(case, spans, BUDGET - 500), ranked[:40])


def times(places: Sequence[Path], tasks: Sequence[str]) -> list[str]:
    missed: list[str] = []
    gc.collect()
    gc.freeze()  # as a server does once it is loaded: what the comparison has made is on no server's heap
    print("\nCPU seconds, children included; filter in milliseconds, with a warm process")
    for size, bounds in BOUNDS.items():
        with tempfile.TemporaryDirectory() as folder:
            root = Path(folder, "work")
            megabytes = fill(root, places, size)
            got = measured(root, Path(folder, "state"), tasks)
            parts = stages(root)
            looks = first_packs(root, tasks[:: len(tasks) // FIRST_PACKS][:FIRST_PACKS])
        told = "  ".join(f"{name} {value:.3f}" if value < 10 else f"{name} {value:.0f}" for name, value in got.items())
        print(f"{size:6,} files, {megabytes:.1f} MB: {told}")
        rest = max(0.0, got["cold"] - sum(parts.values()))
        print(f"{'':7}of cold: {'  '.join(f'{name} {value:.2f}' for name, value in parts.items())}  tables {rest:.2f}")
        print(f"{'':7}first pack without an index, {len(looks)} tasks: {looks_told(looks)}")
        missed += [
            f"{name} at {size:,} files is {got[name]:.3f}, the bound {most}"
            for name, most in bounds.items()
            if got[name] > most
        ]
    return missed


def fill(root: Path, places: Sequence[Path], size: int) -> float:
    """Copies files of the source distributions until there are `size`, in rounds if need be; returns megabytes."""
    count = total = 0
    for turn in range(1_000):
        for place in places:
            for file in sorted(place.rglob("*")):
                if count == size:
                    return total / 1e6
                if file.is_file() and file.stat().st_size < 400_000:
                    target = root / f"{place.name}-{turn}" / file.relative_to(place)
                    target.parent.mkdir(parents=True, exist_ok=True)
                    shutil.copyfile(file, target)
                    count, total = count + 1, total + file.stat().st_size
    return total / 1e6


def cpu() -> float:
    own, children = resource.getrusage(resource.RUSAGE_SELF), resource.getrusage(resource.RUSAGE_CHILDREN)
    return own.ru_utime + own.ru_stime + children.ru_utime + children.ru_stime


def measured(root: Path, state: Path, tasks: Sequence[str]) -> dict[str, float]:
    started = cpu()
    with pack_gatherer.Gatherer(state) as gatherer:
        gatherer.refresh(root)
        cold = cpu() - started
        refreshes = [spent(lambda: gatherer.refresh(root)) for _ in range(5)]
        gatherer.pack(root, tasks[0])
        refresh = min(refreshes)
        one = [spent(lambda task=task: gatherer.pack(root, task)) for task in tasks[:120]]
    taken = sorted(max(0.0, seconds - refresh) * 1000 for seconds in one)
    return {
        "cold": cold,
        "refresh": refresh,
        "filter p50": taken[len(taken) // 2],
        "filter p95": taken[int(len(taken) * 0.95)],
    }


def stages(root: Path) -> dict[str, float]:
    """Returns the processor seconds of what a cold index does before it writes, done once more by itself."""
    seconds: dict[str, float] = defaultdict(float)

    def stage(name: str, work: Callable[[], Any]) -> Any:
        began = time.process_time()
        value = work()
        seconds[name] += time.process_time() - began
        return value

    with closing(safe_read.Root(root)) as reader:
        for path, state in stage("list", lambda: file_listing.scan(reader.path)).items():
            if state.size > safe_read.MAX_BYTES:
                continue
            text = stage("read", lambda path=path: reader.read(path).text)
            if "\0" in text or stage("machine-made", lambda text=text: secret_paths.machine_made(text)):
                continue
            stage("imports", lambda text=text, path=path: import_graph.of(text, path))
            parts = stage("divide", lambda text=text, path=path: chunks.divide(text, path))
            bodies = [text[part.start : part.end] for part in parts]
            stage("split words", lambda bodies=bodies: [context_query.split_names(body) for body in bodies])
    return seconds


def first_packs(root: Path, tasks: Sequence[str]) -> list[tuple[float, float]]:
    """Returns the seconds by the clock, and of this process's processor, of packs for which nothing has been read."""
    looks: list[tuple[float, float]] = []
    for task in tasks:
        with tempfile.TemporaryDirectory() as state, pack_gatherer.Gatherer(Path(state), beside=True) as gatherer:
            began, used = time.perf_counter(), time.process_time()
            anyio.run(functools.partial(gatherer.gather, root, task, wait_s=0.0))
            looks.append((time.perf_counter() - began, time.process_time() - used))
    return looks


def looks_told(looks: Sequence[tuple[float, float]]) -> str:
    clock, used = sorted(wall for wall, _ in looks), sorted(processor for _, processor in looks)
    return (
        f"best {clock[0]:.2f}, median {statistics.median(clock):.2f}, worst {clock[-1]:.2f} s by the clock; "
        f"processor of the server best {used[0]:.2f}, median {statistics.median(used):.2f} s"
    )


def spent(work: Callable[[], object]) -> float:
    started = cpu()
    work()
    return cpu() - started


if __name__ == "__main__":
    begun = time.perf_counter()
    code = main()
    print(f"{time.perf_counter() - begun:.0f} s")
    sys.exit(code)
