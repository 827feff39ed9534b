"""Fits the weights of `context/ranking_weights.tsv` on what public commits changed; needs numpy, unlike the product.

    python scripts/fit_context.py mine CLONES CASES [--most 40]     commits of bare clones as cases, a JSONL file each
    python scripts/fit_context.py fit CLONES CASES [--cross]        weights from cases; --cross leaves each project out

CLONES holds bare repositories, CASES files `<clone>.jsonl` of {id, repo, commit, parent, date, full, gold: [{path,
spans, lines}]}. A case is a commit of one to twelve files, at most 300 lines of source; those of each kind are spread
evenly over the history. The task is its message. Features come from the product itself, asked at the parent commit;
weights are the maximum of a softmax over a case's files (over its parts, by changed lines) with a quadratic penalty,
found by Newton's method. Source and the files beside it have weights of their own. Tests and changelogs that go with
code are left out of its cases.
"""

# pyright: basic, reportMissingImports=false, reportInvalidTypeForm=false
# numpy is no dependency of the product, so its types are not there.
from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from dispatch_mcp.context import context_query, file_index, file_kinds, git_log, index_search, pack_gatherer, ranking
from dispatch_mcp.text import languages, secret_paths

PENALTY = 0.003
ROUNDS = 15
DULL = re.compile(
    r"(?:merge|revert|release\b|v?\d+\.\d+|bump version|prepare|version bump|cherry.?pick|backport|\[?pre-commit|fmt$"
    r"|format$|wip\b|bump \S+ from|build\(deps|chore\(deps|update dependency)",
    re.IGNORECASE,
)
TRAILER = re.compile(r"\s*(?:[\w-]+-by:|\*|-|fix(?:es)?\b|close|resolve|https?:|\(cherry)", re.IGNORECASE)

FILE_NAMES = [
    *(f"source {name}" for name in ranking.FILE_WEIGHTS),
    *(f"beside {name}" for name in ranking.BESIDE_FILE_WEIGHTS),
]
PART_NAMES = [
    *(f"source {name}" for name in ranking.PART_WEIGHTS),
    *(f"beside {name}" for name in ranking.BESIDE_PART_WEIGHTS),
]
Matrix = np.ndarray[Any, np.dtype[np.float64]]
Example = tuple[Matrix, Matrix]


@dataclass
class CaseFeatures:
    """The features of one case: of its files and of its parts, with what is to be found among them."""

    repo: str
    files: dict[str, dict[str, float]]
    gold: Mapping[str, Sequence[int]]
    parts: list[tuple[str, int, int, dict[str, float]]]


def main() -> int:
    options = arguments()
    clones, cases = Path(options.clones), Path(options.cases)
    if options.what == "mine":
        cases.mkdir(parents=True, exist_ok=True)
        for clone in sorted(path for path in clones.iterdir() if path.is_dir()):
            rows = list(mined(clone, options.most))
            (cases / f"{clone.name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
            print(clone.name, len(rows))
        return 0
    rows = [one for file in sorted(cases.glob("*.jsonl")) for one in features_of(clones / file.stem, file)]
    if options.cross:
        for repo in sorted({one.repo for one in rows}):
            learned = fit([one for one in rows if one.repo != repo])
            print(repo, summary(learned, [one for one in rows if one.repo == repo]))
    learned = fit(rows)
    for name, by in zip(("file", "part"), learned, strict=True):
        for feature, weight in by.items():
            table, _, short = feature.partition(" ")
            print(f"{name if table == 'source' else f'beside_{name}'}\t{short}\t{weight:.2f}")
    return 0


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("mine", "fit"))
    parser.add_argument("clones")
    parser.add_argument("cases")
    parser.add_argument("--most", type=int, default=40, help="cases of a project")
    parser.add_argument("--cross", action="store_true", help="also score each project with weights of the others")
    return parser.parse_args()


def git(clone: Path, *arguments: str, env: Mapping[str, str] | None = None, cwd: Path | None = None) -> str:
    done = subprocess.run(["git", *arguments], cwd=cwd or clone, env=env, capture_output=True, check=True)
    return done.stdout.decode("utf-8", "replace")


def mined(clone: Path, most: int) -> Iterator[dict[str, Any]]:
    """Yields cases spread evenly over a project's commits: `most` of code, a quarter as many of each other kind."""
    log = git(clone, "log", "--no-merges", "--no-renames", "--numstat", "--format=%x01%H%x02%P%x02%ct%x02%B%x03")
    groups: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for entry in log.split("\x01")[1:]:
        if (row := suited(clone.name, entry)) is not None:
            groups[row["kind"]].append(row)
    for kind, group in sorted(groups.items()):
        count = most if kind == "source" else most // 4
        step = max(1.0, len(group) / count)
        for row in (group[int(at * step)] for at in range(min(count, len(group)))):
            row["gold"] = [gold for path in row.pop("paths") if (gold := changed(clone, row, path)) is not None]
            if row["gold"]:
                yield row


def suited(name: str, entry: str) -> dict[str, Any] | None:
    about, _, stat = entry.partition("\x03")
    commit, parent, time, message = about.split("\x02", 3)
    rows = [line.split("\t") for line in stat.strip().split("\n") if line.count("\t") == 2]
    sizes = {path: int(more) + int(less) for more, less, path in rows if more != "-" and is_wanted(path)}
    kinds = {path: file_kinds.of(path) for path in sizes}
    source = [path for path, kind in kinds.items() if kind == "source"]
    lines = message.strip().split("\n")
    title = re.sub(r"\s*\(?#\d+\)?", "", lines[0]).strip()
    too_much = not 1 <= len(sizes) <= 12 or len(source) > 5 or sum(sizes[path] for path in source) > 300
    if too_much or not parent or " " in parent.strip() or DULL.match(title) or len(title.split()) < 3:
        return None
    rest = [re.sub(r"\(?#\d+\)?", "", line) for line in lines[1:] if not TRAILER.match(line)]
    task = f"{title}\n\n{chr(10).join(rest).strip()}".strip()[:1500]
    alone = {kind for kind in kinds.values() if not source or kind not in {"test", "changelog"}}
    head = {"id": f"{name}-{commit[:10]}", "repo": name, "commit": commit, "parent": parent.strip()}
    kind = next(iter(alone)) if len(alone) == 1 else "several"
    return {**head, "date": int(time), "kind": kind, "full": task, "paths": list(sizes)}


def is_wanted(path: str) -> bool:
    return languages.role(path) != "copy" and not secret_paths.unread_file(path.rpartition("/")[2])


def changed(clone: Path, row: Mapping[str, Any], path: str) -> dict[str, Any] | None:
    """Returns the lines of the parent's file that the commit changed, or between which it wrote."""
    try:
        git(clone, "cat-file", "-e", f"{row['parent']}:{path}")
    except subprocess.CalledProcessError:
        return None
    diff = git(clone, "diff", "--no-renames", "-U0", row["parent"], row["commit"], "--", path)
    lines: set[int] = set()
    for first, count in re.findall(r"^@@ -(\d+)(?:,(\d+))? \+", diff, re.MULTILINE):
        start, many = int(first), int(count or 1)
        lines |= set(range(start, start + many)) if many else {max(1, start), start + 1}
    return {"path": path, "spans": [], "lines": sorted(lines)} if lines else None


def features_of(clone: Path, file: Path) -> Iterator[CaseFeatures]:
    """Yields the features of a file's cases, each asked in a work tree at its parent commit."""
    rows = [json.loads(line) for line in file.read_text("utf-8").splitlines() if line.strip()]
    with tempfile.TemporaryDirectory() as folder:
        tree = Path(folder, "tree")
        tree.mkdir()
        names = {"GIT_DIR": str(clone), "GIT_WORK_TREE": str(tree), "GIT_INDEX_FILE": str(Path(folder, "index"))}
        history = pack_gatherer.PastCommits(commits(clone))
        with file_index.FileIndex(Path(folder, "state"), tree) as opened:
            found = index_search.Search(opened)
            for row in rows:
                git(clone, "read-tree", "-u", "--reset", row["parent"], env={**os.environ, **names}, cwd=tree)
                opened.refresh()
                yield of_case(found, history.until(row["date"], row["commit"]), row)
        history.close()


def commits(clone: Path) -> list[git_log.Commit]:
    log = git(
        clone, "log", "--no-merges", "--no-renames", "--name-only", "-n", "6000", "--format=%x01%H%x02%ct%x02%s%x03"
    )
    made: list[git_log.Commit] = []
    for entry in log.split("\x01")[1:]:
        about, _, names = entry.partition("\x03")
        sha, time, subject = about.split("\x02", 2)
        made.append(git_log.Commit(sha, int(time), subject, tuple(name for name in names.split("\n") if name)))
    return made


def of_case(found: index_search.Search, history: pack_gatherer.PastCommits, row: Mapping[str, Any]) -> CaseFeatures:
    query = context_query.read(row["full"])
    evidence = found.evidence(query, history.votes(query))
    of_files = ranking.file_features(query, evidence)
    chances = ranking.file_chances(of_files)
    of_parts = ranking.part_features(query, found.complete(query, evidence, chances), chances)
    gold = {one["path"]: one["lines"] for one in row["gold"]}
    has_source = any(file_kinds.of(path) == "source" for path in gold)
    beside = {path for path in gold if has_source and file_kinds.of(path) in {"test", "changelog"}}
    return CaseFeatures(
        row["repo"],
        {path: of for path, of in of_files.items() if path not in beside},
        {path: lines for path, lines in gold.items() if path not in beside},
        [(part.path, part.first, part.last, of) for part, of in of_parts if part.path not in beside],
    )


def fit(found: Sequence[CaseFeatures]) -> tuple[dict[str, float], dict[str, float]]:
    """Returns the weights of files and of parts."""
    files = newton([example for one in found if (example := of_files(one)) is not None], FILE_NAMES)
    parts = newton([example for one in found if (example := of_parts(one)) is not None], PART_NAMES)
    return files, parts


def named(path: str, of: Mapping[str, float]) -> dict[str, float]:
    """Returns features under the table of their file, `source` or `beside`."""
    table = "source" if file_kinds.of(path) == "source" else "beside"
    return {f"{table} {name}": value for name, value in of.items()}


def of_files(one: CaseFeatures) -> Example | None:
    rows = [[named(path, of).get(name, 0.0) for name in FILE_NAMES] for path, of in one.files.items()]
    return example(rows, [float(path in one.gold) for path in one.files])


def of_parts(one: CaseFeatures) -> Example | None:
    rows = [[named(path, of).get(name, 0.0) for name in PART_NAMES] for path, *_, of in one.parts]
    held = [sum(a <= line <= b for line in one.gold.get(path, ())) for path, a, b, _ in one.parts]
    return example(rows, list(map(float, held)))


def example(rows: list[list[float]], wanted: list[float]) -> Example | None:
    total = sum(wanted)
    return (np.array(rows), np.array(wanted) / total) if total else None


def newton(examples: Sequence[Example], names: Sequence[str]) -> dict[str, float]:
    count = len(names)
    by: Matrix = np.zeros(count)
    lost = loss(examples, by)
    for _ in range(ROUNDS):
        slope, bend = np.zeros(count), np.zeros((count, count))
        for rows, wanted in examples:
            chance = softmax(rows @ by)
            mean = chance @ rows
            slope += (chance - wanted) @ rows
            bend += (rows * chance[:, None]).T @ rows - np.outer(mean, mean)
        step = np.linalg.solve(
            bend / len(examples) + 2 * PENALTY * np.eye(count), slope / len(examples) + 2 * PENALTY * by
        )
        length = 1.0
        while loss(examples, by - length * step) > lost and length > 1e-3:
            length /= 2
        by = by - length * step
        now = loss(examples, by)
        if lost - now < 1e-5:
            break
        lost = now
    return {name: float(weight) for name, weight in zip(names, by, strict=True)}


def loss(examples: Sequence[Example], by: Matrix) -> float:
    total = -sum(float(wanted @ np.log(softmax(rows @ by) + 1e-12)) for rows, wanted in examples)
    return total / len(examples) + PENALTY * float(by @ by)


def softmax(scores: Matrix) -> Matrix:
    raised = np.exp(scores - scores.max())
    return raised / raised.sum()


def summary(learned: tuple[dict[str, float], dict[str, float]], found: Sequence[CaseFeatures]) -> str:
    """Returns the share of changed files among the first five and ten."""
    shares = [sum(recall(one, learned[0], most) for one in found) / len(found) for most in (5, 10)]
    return f"{len(found)} cases, r@5 {shares[0]:.3f}, r@10 {shares[1]:.3f}"


def recall(one: CaseFeatures, by: Mapping[str, float], most: int) -> float:
    scores = {path: ranking.linear(named(path, of), by) for path, of in one.files.items()}
    best = sorted(scores, key=lambda path: -scores[path])[:most]
    return sum(path in best for path in one.gold) / len(one.gold)


if __name__ == "__main__":
    sys.exit(main())
