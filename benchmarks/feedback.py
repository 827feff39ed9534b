"""What routing gains from confirmed routes, and that it never loses.

    python benchmarks/feedback.py [FOLDER]

FOLDER as for benchmarks/routing.py. Two tables: half of a set's cases as history and the other half asked, twice;
and recurring intents with as many confirmations per agent as the set has, up to ten, the rest asked. Goals: never more
than one point below the router alone; two points gained per confirmation per agent on recurring intents (20 at 10).
Ends with 1 when a goal is missed.
"""

from __future__ import annotations

import random
import statistics
import sys
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import routing as bench
from dispatch_mcp.agents import catalog
from dispatch_mcp.routing import learning, router

RECURRING = ("clinc150", "banking77", "metatool")
MOST = 10
FOLDS = 6
LOSS, GAIN = 0.01, 0.02
EXTRA_MS = 0.3

Split = tuple[Sequence[bench.Case], Sequence[bench.Case]]


def main() -> int:
    data = Path(bench.arguments().folder)
    if not (data / "cases").is_dir():
        print(f"no routing data in {data}; give its folder as the argument or in DISPATCH_MCP_ROUTING_DATA")
        return 0
    names = sorted(path.stem for path in (data / "cases").glob("*.jsonl"))
    kept = [halves(data, name) for name in names]
    gained = [recurring(data, name) for name in RECURRING if name in names]
    quick = cost(data)
    print(f"\nnever worse: {said(*kept)}; recurring intents: {said(*gained)}; extra time: {said(quick)}")
    return 0 if all((*kept, *gained, quick)) else 1


def said(*held: bool) -> str:
    return "held" if all(held) else "MISSED"


def halves(data: Path, name: str) -> bool:
    """Prints one set with each half as history; returns whether it lost at most a point, or a single case."""
    known, cases = read(data, name)
    cut = len(cases) // 2
    count, base, with_it = asked(known, [(cases[:cut], cases[cut:]), (cases[cut:], cases[:cut])])
    shares = f"{base / count:.3f} -> {with_it / count:.3f}"
    print(f"half    {name:14} {count:5} cases  {shares}  {points(with_it - base, count)}")
    return with_it >= base - max(1, LOSS * count)


def recurring(data: Path, name: str) -> bool:
    """Prints one set of recurring intents; returns whether it gained two points per confirmation, 20 at most."""
    known, cases = read(data, name)
    splits = [split(cases, at) for at in (0, 1)]
    count, base, with_it = asked(known, splits)
    each = statistics.mean(len(history) / len({case.labels for case in history}) for history, _ in splits)
    goal = GAIN * min(each, MOST)
    print(
        f"intents {name:14} {count:5} cases  {base / count:.3f} -> {with_it / count:.3f}  "
        f"{points(with_it - base, count)} at {each:.1f} per agent, goal {100 * goal:+.1f}"
    )
    return with_it - base >= goal * count


def read(data: Path, name: str) -> tuple[catalog.Catalog, list[bench.Case]]:
    known, cases = bench.read_set(data, name)
    names = known.names
    cases = [case for case in cases if set(case.labels) & names]
    random.Random(0).shuffle(cases)
    return known, cases


def split(cases: Sequence[bench.Case], at: int) -> Split:
    """Returns a history of at most `MOST` cases per agent, and every sixth case to be asked."""
    seen: Counter[str] = Counter()
    history: list[bench.Case] = []
    for number, case in enumerate(cases):
        if number % FOLDS != at and seen[case.labels[0]] < MOST:
            seen[case.labels[0]] += 1
            history.append(case)
    return history, cases[at::FOLDS]


def asked(known: catalog.Catalog, splits: Sequence[Split]) -> tuple[int, int, int]:
    """Returns how many were asked, and how many were right without and with history."""
    count = base = with_it = 0
    for confirmed, rest in splits:
        history = learned(confirmed)
        count += len(rest)
        for case in rest:
            base += first(case, known, learning.NO_HISTORY) in case.labels
            with_it += first(case, known, history) in case.labels
    return max(count, 1), base, with_it


def learned(cases: Sequence[bench.Case]) -> learning.History:
    return learning.History(tuple(learning.PastRoutes(case.text, case.labels[0]) for case in cases))


def first(case: bench.Case, known: catalog.Catalog, history: learning.History) -> str:
    return router.route(case.text, known, history=history).ranked[0].name


def points(more: int, count: int) -> str:
    return f"{100 * more / count:+5.1f} points"


def cost(data: Path) -> bool:
    """Prints what 500 past cases add to a route among 50 agents; returns whether it is within the limit."""
    known, cases = read(data, "banking77")
    some = catalog.merge(known.agents[:50], words=known.words)
    names = some.names
    cases = [case for case in cases if case.labels[0] in names]
    history = learned((cases * 500)[:500])
    start = time.process_time()
    first(cases[0], some, history)
    prepared = time.process_time() - start
    extra = statistics.median(
        timed(case, some, history) - timed(case, some, learning.NO_HISTORY) for case in cases[:100]
    )
    print(f"\n50 agents, 500 past cases: prepared once in {1e3 * prepared:.0f} ms, then {extra:+.3f} ms per route")
    return extra <= EXTRA_MS


def timed(case: bench.Case, known: catalog.Catalog, history: learning.History) -> float:
    """Returns CPU milliseconds of one warm route, best of five."""
    times: list[float] = []
    for _ in range(5):
        start = time.process_time_ns()
        first(case, known, history)
        times.append((time.process_time_ns() - start) / 1e6)
    return min(times)


if __name__ == "__main__":
    sys.exit(main())
