"""Routing accuracy, calibration, latency and load, beside the first-match rules and plain BM25F in the same run.

    python benchmarks/routing.py [FOLDER] [--json] [--agents FOLDER]

FOLDER has `cases/*.jsonl` and `rosters/*.json`; default: DISPATCH_MCP_ROUTING_DATA, else ../shared/data/routing beside
the checkout. The collections are for measuring only: nothing of them is in the product.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import statistics
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from dispatch_mcp.agents import bundled_files, catalog, loader
from dispatch_mcp.routing import agent_index, router
from dispatch_mcp.text import tokenizer
from dispatch_mcp.text.reading import excerpts

CHECKOUT = Path(__file__).resolve().parents[1]
WORKED = "seed"
"""How the names of sets begin that hold worked examples of docs/rules.md."""

SURE = 0.70
GENERIC = 500
TIMED = ("hand_backend8", "hand_roles41", "contains", "wshobson", "metatool")
OTHER_DOMAINS = ("django29", "clinc150", "banking77", "metatool")
FIRST_MATCH = (
    ("auth-system-architect", "jwt token login auth password security session"),
    ("database-architect", "database db model sqlalchemy query migration"),
    ("troubleshooting-architect", "debug error fix bug crash 500 404 401"),
    ("api-endpoints-architect", "endpoint api route rest get post put delete"),
    ("user-management-architect", "user users profile role manager crud admin"),
    ("services-architect", "service email ai openai smtp integration"),
    ("config-architect", "config environment env settings production deployment"),
    ("backend-overview-architect", "architecture overview structure help"),
)


@dataclass
class Case:
    text: str
    labels: tuple[str, ...]
    kind: str


@dataclass
class Tally:
    """What one set or kind came to."""

    first: int = 0
    third: int = 0
    plain: int = 0
    plain_third: int = 0
    first_match: int = 0
    cases: int = 0
    sure: list[tuple[float, bool]] = field(default_factory=list[tuple[float, bool]])
    outside: list[float] = field(default_factory=list[float])
    generic: list[float] = field(default_factory=list[float])
    near: list[float] = field(default_factory=list[float])
    abstained: int = 0
    refused: int = 0


def main() -> int:
    options = arguments()
    data = Path(options.folder)
    if not (data / "cases").is_dir():
        print(f"no routing data in {data}; give its folder as the argument or in DISPATCH_MCP_ROUTING_DATA")
        return 0
    names = sorted(path.stem for path in (data / "cases").glob("*.jsonl"))
    generic = (
        [case.text for case in read_cases(data, "clinc150")][:: max(1, 1100 // GENERIC)] if "clinc150" in names else []
    )
    results: dict[str, Tally] = {}
    kinds: dict[str, Tally] = defaultdict(Tally)
    for name in names:
        roster, cases = read_set(data, name)
        results[name] = measure(
            roster, cases, [] if name in OTHER_DOMAINS else generic, kinds if name.startswith("hand") else None
        )
        if name.startswith(WORKED) and results[name].first_match and (data / "rosters" / "backend8_kw.json").is_file():
            results[f"{name}+triggers"] = measure(read_roster(data, "backend8_kw"), cases, generic, None)
    report(results, kinds)
    latency(data, names)
    load(data)
    return 0


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    default = os.environ.get("DISPATCH_MCP_ROUTING_DATA") or CHECKOUT / ".." / "shared" / "data" / "routing"
    parser.add_argument("folder", nargs="?", default=str(default))
    return parser.parse_args()


def read_cases(data: Path, name: str) -> list[Case]:
    lines = (data / "cases" / f"{name}.jsonl").read_text(encoding="utf-8").splitlines()
    rows = (json.loads(line) for line in lines if line.strip())
    return [Case(row["text"], tuple(row["labels"]), row["kind"]) for row in rows if "proactive" not in row["kind"]]


def read_set(data: Path, name: str) -> tuple[catalog.Catalog, list[Case]]:
    with (data / "cases" / f"{name}.jsonl").open(encoding="utf-8") as lines:
        roster = json.loads(next(lines))["roster"]
    return read_roster(data, roster), read_cases(data, name)


def read_roster(data: Path, name: str) -> catalog.Catalog:
    rows = json.loads((data / "rosters" / f"{name}.json").read_text(encoding="utf-8"))["agents"]
    return catalog.merge((agent_of(row, name) for row in rows), words=loader.words())


def agent_of(row: dict[str, Any], roster: str) -> catalog.Agent:
    return catalog.Agent(
        name=row["name"],
        description=row["description"],
        body=row["body"],
        roster=roster,
        sha256=row["name"],
        keywords=tuple(row.get("keywords", ())),
        examples=tuple(row.get("examples", ())),
    )


def measure(
    known: catalog.Catalog, cases: Sequence[Case], generic: Sequence[str], kinds: dict[str, Tally] | None
) -> Tally:
    total = Tally()
    for case in cases:
        tallies = [total] if kinds is None else [total, kinds[case.kind.split("-")[0] if case.labels else "oos"]]
        one(known, case, tallies)
    total.generic.extend(router.route(request, known).confidence for request in generic)
    if kinds is not None:
        total.near.extend(without_the_right_one(known, cases))
    return total


def one(known: catalog.Catalog, case: Case, tallies: Iterable[Tally]) -> None:
    route = router.route(case.text, known)
    ranked = [candidate.name for candidate in route.ranked]
    plain = plain_bm25f(known, case.text)
    for tally in tallies:
        if not case.labels:
            tally.outside.append(route.confidence)
            tally.refused += route.specialist is None
            continue
        right = ranked[0] in case.labels
        tally.cases += 1
        tally.first += right
        tally.third += bool(set(ranked[:3]) & set(case.labels))
        tally.plain += plain[0] in case.labels
        tally.plain_third += bool(set(plain[:3]) & set(case.labels))
        tally.first_match += first_match(case.text) in case.labels
        tally.abstained += route.specialist is None
        tally.sure.append((route.confidence, right))


def without_the_right_one(known: catalog.Catalog, cases: Sequence[Case]) -> list[float]:
    """Returns the confidence of each case in a roster from which its agents are missing."""
    by_labels: dict[tuple[str, ...], list[Case]] = defaultdict(list)
    for case in cases:
        if case.labels:
            by_labels[case.labels].append(case)
    found: list[float] = []
    for labels, group in by_labels.items():
        rest = catalog.merge((agent for agent in known.agents if agent.name not in labels), words=known.words)
        found.extend(router.route(case.text, rest).confidence for case in group)
    return found


def first_match(request: str) -> str:
    """Returns the first rule of which a keyword is a substring (docs/rules.md#first-match)."""
    lower = request.lower()
    for name, keywords in FIRST_MATCH:
        if any(keyword in lower for keyword in keywords.split()):
            return name
    return "backend-overview-architect"


def plain_bm25f(known: catalog.Catalog, request: str) -> list[str]:
    """Returns all agents by plain BM25F over name, description, keywords, examples and body: the guard."""
    terms = [stem for stem in tokenizer.stems(excerpts.request(request)) if stem not in tokenizer.STOP]
    weighted = [*((stem, 1.0) for stem in dict.fromkeys(terms)), *((pair, 0.5) for pair in agent_index.pairs(terms))]
    scores, _ = agent_index.index_of(known).whole.scores(weighted)
    return [known.routable[place].name for place in sorted(range(len(scores)), key=lambda place: -scores[place])]


def report(results: dict[str, Tally], kinds: dict[str, Tally]) -> None:
    head = f"{'set':18} {'n':>5}  {'top1':>5} {'top3':>5}  {'BM25F':>11}  {'rules':>5}  {'AUROC generic/oos/near':>22}"
    print(f"{head}  {'ECE':>5}  {'p@.70':>5} {'share':>5}  abstains in/oos")
    for name, tally in sorted(results.items()):
        print(row(name, tally, rules=bool(tally.first_match)))
    public = [
        tally for name, tally in results.items() if not name.startswith((WORKED, "hand")) and name not in OTHER_DOMAINS
    ]
    for name, group in (
        ("HAND pooled", [tally for name, tally in results.items() if name.startswith("hand")]),
        ("PUBLIC pooled", public),
    ):
        if group:
            print(row(name, pooled(group), rules=False))
    if public:
        mean, guard = (
            statistics.mean(getattr(tally, key) / tally.cases for tally in public) for key in ("first", "plain")
        )
        print(f"PUBLIC mean top-1 {mean:.3f}, plain BM25F {guard:.3f}: {'held' if mean >= guard else 'BROKEN'}")
    print("\nhand-made sets by kind")
    for name, tally in sorted(kinds.items()):
        if tally.cases:
            print(f"  {name:10} {tally.first:3}/{tally.cases:<3} top3 {tally.third:3}  BM25F {tally.plain:3}")
        else:
            print(f"  {name:10} refused {tally.refused}/{len(tally.outside)}")


def row(name: str, tally: Tally, *, rules: bool) -> str:
    inside = [sure for sure, _ in tally.sure]
    certain = [right for sure, right in tally.sure if sure >= SURE]
    mixture = tally.sure + [(sure, False) for sure in tally.outside]
    count = max(tally.cases, 1)
    areas = "/".join(auroc(inside, other) for other in (tally.generic, tally.outside, tally.near))
    ruled = f"{tally.first_match / count:.3f}" if rules else "    -"
    refused = f"{tally.refused / len(tally.outside):.2f}" if tally.outside else "-"
    return (
        f"{name:18} {tally.cases:5}  {tally.first / count:5.3f} {tally.third / count:5.3f}  "
        f"{tally.plain / count:5.3f}/{tally.plain_third / count:5.3f}  {ruled}  "
        f"{areas:>22}  {ece(mixture):5.3f}  "
        f"{sum(certain) / max(len(certain), 1):5.3f} {len(certain) / count:5.2f}  "
        f"{tally.abstained / count:.3f}/{refused}"
    )


def pooled(group: Sequence[Tally]) -> Tally:
    whole = Tally()
    for tally in group:
        for name, value in vars(tally).items():
            setattr(whole, name, getattr(whole, name) + value)
    return whole


def auroc(inside: Sequence[float], outside: Sequence[float]) -> str:
    """Returns how often an in-scope request is surer than one that is not; ties count half."""
    if not inside or not outside:
        return "    -"
    wins = sum((one > other) + 0.5 * (one == other) for one in inside for other in outside)
    return f"{wins / len(inside) / len(outside):.3f}"


def ece(sure: Sequence[tuple[float, bool]], bins: int = 10) -> float:
    """Returns the expected calibration error over bins of equal mass."""
    ordered = sorted(sure)
    size = max(1, math.ceil(len(ordered) / bins))
    parts = [ordered[at : at + size] for at in range(0, len(ordered), size)]
    gaps = (abs(sum(p for p, _ in part) - sum(right for _, right in part)) for part in parts)
    return sum(gaps) / max(len(ordered), 1)


def latency(data: Path, names: Sequence[str]) -> None:
    print("\nCPU ms per route, warm (best of 3 per request)")
    for name in (
        name
        for name in ("hand_backend8", "hand_roles41", "contains", "wshobson", "davila", "metatool")
        if name in names
    ):
        known, cases = read_set(data, name)
        times = sorted(timed(case.text, known) for case in cases[:200])
        p50, p99 = quantile(times, 0.5), quantile(times, 0.99)
        print(f"  {name:16} {len(known.routable):4} agents  p50 {p50:6.3f}  p99 {p99:6.3f}")
    known, cases = read_set(data, "hand_roles41")
    base = " ".join(case.text for case in cases)
    for size in (1_000, 100_000):
        request = (base * (size // len(base) + 1))[:size]
        print(f"  a request of {size:7,} characters: {timed(request, known):6.3f}")


def timed(request: str, known: catalog.Catalog) -> float:
    router.route(request, known)
    best = math.inf
    for _ in range(3):
        start = time.process_time_ns()
        router.route(request, known)
        best = min(best, (time.process_time_ns() - start) / 1e6)
    return best


def quantile(ordered: Sequence[float], share: float) -> float:
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def load(data: Path) -> None:
    print("\nload, CPU ms")
    loader.words.cache_clear()
    start = time.process_time()
    loader.words()
    print(f"  lexicon {(time.process_time() - start) * 1e3:8.1f}")
    folder = bundled_files.shipped_folder("agents")
    timed_load("shipped rosters", loader.Folder(folder, "bundled", nested=True), frozenset())
    with tempfile.TemporaryDirectory() as place:
        write_many(data, Path(place), 400)
        timed_load("400 files", loader.Folder(Path(place), "configured", "many"))


def timed_load(name: str, folder: loader.Folder, scope: frozenset[str] | None = None) -> None:
    """Prints what reading a folder and the first route in it cost."""
    start = time.process_time()
    known = loader.Source((folder,), scope=scope).catalog()
    read = time.process_time()
    router.route("fix the login", known)
    files, first = read - start, time.process_time() - read
    print(f"  {name:16} {len(known.agents):4} agents  files {files * 1e3:6.1f}  first route {first * 1e3:6.1f}")


def write_many(data: Path, folder: Path, count: int) -> None:
    """Writes `count` agent files with texts of real length into a folder."""
    rows = [
        row
        for path in sorted((data / "rosters").glob("*.json"))
        for row in json.loads(path.read_text(encoding="utf-8"))["agents"]
        if row["body"]
    ]
    for number, row in enumerate(rows[:count]):
        header = json.dumps(row["description"][:1000])
        text_ = f"---\nname: agent-{number}-{row['name']}\ndescription: {header}\n---\n{row['body']}\n"
        (folder / f"agent-{number}.md").write_text(text_, encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())
