"""Runs every benchmark, peers included, and writes what they printed into docs/benchmarks-run.md.

python benchmarks/bench_all.py [--only NAME,NAME] [--page FILE]; exit code 1 when one missed a bound or broke. One runs
after the other, because each compares within its own run. What has no data here says so.
"""

from __future__ import annotations

import argparse
import os
import platform
import re
import sqlite3
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Final

CHECKOUT: Final = Path(__file__).resolve().parents[1]
PAGE: Final = CHECKOUT / "docs" / "benchmarks-run.md"
BENCHES: Final[dict[str, Sequence[str]]] = {
    "engine": (),
    "store_hop": (),
    "planning": (),
    "routing": (),
    "feedback": (),
    "context": ("--peers",),
    "public_commits": (),
    "startup": (),
    "handles": (),
    "hooks": (),
    "waves": (),
    "big_store": (),
    "merging": (),
    "council": (),
    "workers": (),
    "people": (),
    "two_people": (),
    "page": (),
}
"""The order of the page: first what is compared with peers."""
HEAD: Final = ("# The last run of all benchmarks", "", "<!-- Written by `make bench-all`; do not edit. -->", "")
TABLE: Final = ("", "| bench | bounds | missed | took |", "|---|---|---|---|")
LONGEST_S: Final = 1_800
BROKEN: Final = -1
CODES: Final = {0: "held", 1: "**missed**"}


@dataclass(frozen=True)
class Result:
    """What one benchmark printed, how it ended, and what it took."""

    name: str
    text: str
    code: int
    seconds: float

    @property
    def verdict(self) -> str:
        if "nothing measured" in self.text or re.match(r"no \w+ data in ", self.text):
            return "not measured"
        return CODES.get(self.code, "broken off")

    @property
    def misses(self) -> list[str]:
        lines = [" ".join(line.split()) for line in self.text.splitlines()]
        misses = [
            line for line in lines if line.lower().startswith("missed:") or "MISSED" in line or line.endswith(" OVER")
        ]
        return [re.sub(r"(?i)^missed: ", "", line) for line in misses]


def main() -> int:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--only", default=",".join(BENCHES), help="names, with commas between")
    options.add_argument("--page", type=Path, default=PAGE)
    given = options.parse_args()
    began, load = time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime()), os.getloadavg()[0]
    results = [measured(name) for name in given.only.split(",")]
    given.page.write_text(page(results, began, load), "utf-8")
    return int(any(result.code for result in results))


def measured(name: str) -> Result:
    print(f"== {name}", flush=True)
    began = time.perf_counter()
    command = [sys.executable, CHECKOUT / "benchmarks" / f"{name}.py", *BENCHES[name]]
    try:
        done = subprocess.run(command, cwd=CHECKOUT, capture_output=True, text=True, timeout=LONGEST_S, check=False)
        text, code = done.stdout, BROKEN if "Traceback" in done.stderr else done.returncode
        sys.stderr.write(done.stderr)
    except subprocess.TimeoutExpired as late:
        text, code = (late.stdout or b"").decode("utf-8", "replace"), BROKEN
    print(text, flush=True)
    return Result(name, plain(text), code, time.perf_counter() - began)


def plain(text: str) -> str:
    """Returns what a benchmark printed, without the folders of the machine it ran on."""
    return text.replace(str(CHECKOUT), ".").replace(str(Path.home()), "~").strip()


def page(results: Sequence[Result], began: str, load: float) -> str:
    parts = [f"## {each.name}\n\n{question(each.name)}\n\n```text\n{each.text}\n```\n" for each in results]
    about = (
        f"Begun {began} at a load of {load:.1f}, {machine()}. All that was printed is below, losing rows too. "
        "[Benchmarks](benchmarks.md) has the figures on tasks and requests that nobody had seen, and what was tried."
    )
    return "\n".join([*HEAD, about, *TABLE, *map(row, results), "", *parts])


def row(result: Result) -> str:
    misses = "; ".join(result.misses).replace("|", "/")
    return f"| [`{result.name}`](#{result.name}) | {result.verdict} | {misses} | {result.seconds:.0f} s |"


def machine() -> str:
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return (
        f"{os.cpu_count()} cores, {memory:.0f} GiB, {platform.system()}, Python {platform.python_version()}, "
        f"SQLite {sqlite3.sqlite_version}, mcp {metadata.version('mcp')}"
    )


def question(name: str) -> str:
    """Returns the first sentence of what a benchmark says about itself."""
    text = (CHECKOUT / "benchmarks" / f"{name}.py").read_text("utf-8")
    first, _, _ = text.removeprefix('"""').partition("\n\n")
    return " ".join(first.removesuffix('"""').split())


if __name__ == "__main__":
    sys.exit(main())
