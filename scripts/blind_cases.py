"""Measures routing on sentences whose authors saw neither code nor lexicon, and keeps the protocol of who wrote what.

    python scripts/blind_cases.py FOLDER [--look] [--keep]

FOLDER has batches, `*.jsonl`, one request a line:

    {"text": "…", "roster": "default", "right": ["eng-database"], "lang": "en", "kind": "plain",
     "author": "anna", "batch": "b1"}

`roster` is `default`, `everything`, a shipped roster, or one in FOLDER/rosters: a folder of agent files or
`<name>.json`. `right` are all names that a careful reader accepts, none for what is out of scope; of kind `two` all
must be offered. A right agent whose roster is off counts as offered when that roster is named, and is counted apart.

A batch is blind once. Measuring it writes author, digest, time and commit into FOLDER/ledger.jsonl, which spends it:
from then on it is development data, and only `--look` prints it, under that name. `--keep` measures without
spending, for whoever does not change the router afterwards. A batch that changed after it was spent is refused.
"""

from __future__ import annotations

import argparse
import datetime as dt
import hashlib
import json
import subprocess
import sys
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from dispatch_mcp.agents import bundled_files, catalog, loader
from dispatch_mcp.routing import route_answers, router

SURE = 0.70
ANSWERED = 0.40
LEDGER = "ledger.jsonl"
OUTSIDE = frozenset({"oos", "absent"})
FIELDS = ("text", "roster", "right", "lang", "kind", "author", "batch")


class Measured(NamedTuple):
    """One request after routing: what was offered, how sure the first was, and whether it was right."""

    case: dict[str, Any]
    confidence: float
    first: bool
    five: bool
    offered: bool
    is_off: bool


@dataclass(frozen=True)
class Batch:
    """The requests of one file, and the digest that the ledger knows it by."""

    path: Path
    cases: list[dict[str, Any]]
    sha256: str


def main() -> int:
    options = _arguments()
    folder = Path(options.folder)
    batches = [batch for path in sorted(folder.glob("*.jsonl")) if path.name != LEDGER and (batch := _read(path))]
    ledger = _ledger(folder)
    spent = {entry["file"]: entry["sha256"] for entry in ledger}
    for batch in batches:
        if batch.path.name in spent and spent[batch.path.name] != batch.sha256:
            print(f"{batch.path.name} was spent with other content: give a changed batch a new name", file=sys.stderr)
            return 2
    fresh = [batch for batch in batches if batch.path.name not in spent]
    if fresh:
        _report("BLIND", _measure(folder, fresh))
        if not options.keep:
            _spend(folder, fresh)
    else:
        print("no batch is blind any more; have new ones written by somebody who sees neither code nor these")
    used = [batch for batch in batches if batch.path.name in spent]
    if options.look and used:
        _report("DEVELOPMENT (spent)", _measure(folder, used))
    return 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder")
    parser.add_argument("--look", action="store_true", help="spent batches too, as development figures")
    parser.add_argument("--keep", action="store_true", help="do not spend the batches that are measured")
    return parser.parse_args()


def _read(path: Path) -> Batch:
    data = path.read_bytes()
    cases = [json.loads(line) for line in data.decode().splitlines() if line.strip()]
    for number, case in enumerate(cases, 1):
        missing = [field for field in FIELDS if field not in case]
        if missing:
            raise SystemExit(f"{path.name}, line {number}: {', '.join(missing)} missing")
    return Batch(path, cases, hashlib.sha256(data).hexdigest())


def _ledger(folder: Path) -> list[dict[str, Any]]:
    path = folder / LEDGER
    lines = path.read_text(encoding="utf-8").splitlines() if path.is_file() else []
    return [json.loads(line) for line in lines if line.strip()]


def _spend(folder: Path, batches: Iterable[Batch]) -> None:
    git = ["git", "-C", str(Path(__file__).parent), "rev-parse", "--short", "HEAD"]
    commit = subprocess.run(git, capture_output=True, text=True, check=False).stdout.strip()
    now = dt.datetime.now(dt.UTC).isoformat(timespec="seconds")
    with (folder / LEDGER).open("a", encoding="utf-8") as file:
        for batch in batches:
            authors = sorted({case["author"] for case in batch.cases})
            entry = {"file": batch.path.name, "sha256": batch.sha256, "authors": authors, "cases": len(batch.cases)}
            file.write(json.dumps({**entry, "spent": now, "commit": commit}) + "\n")


def _measure(folder: Path, batches: Sequence[Batch]) -> list[Measured]:
    known: dict[str, catalog.Catalog] = {}
    measured: list[Measured] = []
    for batch in batches:
        for case in batch.cases:
            name = case["roster"]
            if name not in known:
                known[name] = _catalog(folder, name)
            measured.append(_one(case, known[name]))
    return measured


def _catalog(folder: Path, name: str) -> catalog.Catalog:
    own = folder / "rosters" / name
    if own.is_dir():
        return loader.load(own)
    if own.with_suffix(".json").is_file():
        rows = json.loads(own.with_suffix(".json").read_text(encoding="utf-8"))["agents"]
        return catalog.merge((_agent(row, name) for row in rows), words=loader.words())
    shipped = loader.Folder(bundled_files.shipped_folder("agents"), "bundled", nested=True)
    everything = loader.Source((shipped,), scope=None if name == "everything" else frozenset()).catalog()
    return everything if name in ("default", "everything") else everything.roster(name)


def _agent(row: dict[str, Any], roster: str) -> catalog.Agent:
    tools = row.get("tools") or None
    return catalog.Agent(
        name=row["name"],
        description=row["description"],
        body=row.get("body", ""),
        roster=roster,
        sha256=row["name"],
        tools=tuple(part.strip() for part in tools.split(",")) if isinstance(tools, str) else tools,
    )


def _one(case: dict[str, Any], known: catalog.Catalog) -> Measured:
    route = router.route(case["text"], known, hints=router.Hints(files=tuple(case.get("files", ()))))
    names = route_answers.names_offered(route)
    first = route.ranked[0].name if route.ranked else ""
    right = {known.key(agent) if (agent := known.find(name)) else name for name in case["right"]}
    present = {name for name in right if name in known.keys}
    is_off = bool(right) and not present
    wanted = present if case["kind"] == "two" else set[str]()
    rosters_named = {agent.roster for agent in known.agents if agent.name in right} & set(route.offer.off)
    found = bool(rosters_named) if is_off else (wanted <= set(names) and bool(present & set(names)))
    return Measured(
        case=case,
        confidence=route.confidence,
        first=first in right,
        five=bool(present & set(names[:5])),
        offered=found,
        is_off=is_off,
    )


def _report(title: str, measured: Sequence[Measured]) -> None:
    print(f"{title}: {len(measured)} requests")
    groups: dict[str, list[Measured]] = defaultdict(list)
    for each in measured:
        for name in ("all", *(f"{field} {each.case[field]}" for field in ("author", "roster", "kind", "lang"))):
            groups[name].append(each)
    print(f"{'':26} {'n':>5}  offered   five  top-1 wrong>=.70    ECE answered>=.40")
    for name, group in groups.items():
        print(_row(name, group))


def _row(name: str, group: Sequence[Measured]) -> str:
    """Returns a line; what is out of scope counts in `wrong` and ECE, and alone in `answered`."""
    inside = [each for each in group if each.case["right"] and not each.is_off]
    off = [each for each in group if each.is_off]
    nonsense = [each for each in group if not each.case["right"] and each.case["kind"] not in OUTSIDE]
    outside = nonsense or [each for each in group if not each.case["right"]]
    wrong = [each for each in group if each.confidence >= SURE and not each.first]
    pairs = [(each.confidence, each.first) for each in group]
    figures = (
        _share([each.offered for each in inside]),
        _share([each.five for each in inside]),
        _share([each.first for each in inside]),
        f"{len(wrong) / len(group):.3f}",
        f"{_ece(pairs):.3f}",
        _share([each.confidence >= ANSWERED for each in outside]),
    )
    more = f"  off: roster named {sum(each.offered for each in off)}/{len(off)}" if off else ""
    columns = " ".join(map(str.rjust, figures, (8, 6, 6, 10, 6, 13)))
    return f"{name:26} {len(group):5} {columns}{more}"


def _share(values: Sequence[bool]) -> str:
    return f"{sum(values) / len(values):.3f}" if values else "-"


def _ece(pairs: Sequence[tuple[float, bool]], bins: int = 10) -> float:
    """Returns the expected calibration error over bins of equal mass; equals count as their mean, in whatever order."""
    equals: dict[float, list[bool]] = defaultdict(list)
    for sure, right in pairs:
        equals[sure].append(right)
    ordered = sorted((sure, sum(equals[sure]) / len(equals[sure])) for sure, _ in pairs)
    size = max(1, -(-len(ordered) // bins))
    parts = [ordered[at : at + size] for at in range(0, len(ordered), size)]
    return sum(abs(sum(p for p, _ in part) - sum(right for _, right in part)) for part in parts) / max(len(ordered), 1)


if __name__ == "__main__":
    sys.exit(main())
