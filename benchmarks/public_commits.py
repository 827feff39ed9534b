"""Whether packs hold what public commits changed, by kind of task and language, beside strong FTS5 in the same run.

    python benchmarks/public_commits.py [CLONES] [--briefs] [--repository NAME] [--most N] [--list FILE]

CLONES holds bare clones as `owner+name` (or `owner+name/repo`) of the repositories in `public_commits.tsv`; default:
DISPATCH_MCP_CLONES. What is not there is left out; without any clone nothing is measured. A task is the message of a
commit, the workspace the tree of its parent with the history before it, the truth the files that the commit changed.
`--briefs` takes only the sixty tasks of the brief suite.

Columns: `r@5` changed files among the first five; `hit` a line that was changed is in the pack; `lines` share of the
lines of changed functions in it; `given` share of changed files that are in it whole or with a changed function;
`named` share of them named or given; `used` median share of the budget. For code, the first four count source only.
"""

from __future__ import annotations

import argparse
import os
import re
import statistics
import subprocess
import sys
import tempfile
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from dispatch_mcp.context import chunks, context_query, file_index, file_kinds, git_log, pack_gatherer
from dispatch_mcp.text import languages, token_count

LIST = Path(__file__).with_name("public_commits.tsv")
BUDGET = 5_000
BOUNDS = {"named": 0.90, "given": 0.80}
COLUMNS = ("r@5", "hit", "lines", "given", "named")
TRAILER = re.compile(r"\s*(?:[\w-]+-by:|\*|-|fix(?:es)?\b|close|resolve|https?:|\(cherry)", re.IGNORECASE)
UNKNOWABLE = re.compile(
    r"(?:lock|\.lock|-lock\.(?:json|yaml)|go\.sum|lockb)$|\.(?:png|svg|jpg|gif|ico|woff2?|pdf|snap|pot?|mo|map)$"
)
LANGUAGES: Mapping[str, str] = {"python": "Python", "go": "Go", "script": "TypeScript", "rust": "Rust", "ruby": "Ruby"}


@dataclass(frozen=True)
class Case:
    """One commit: `kind` is what it is about, `brief` whether it belongs to the brief suite."""

    brief: bool
    kind: str
    repository: str
    commit: str


@dataclass
class Truth:
    """What a commit changed: by file the lines of its parent, and those of the functions around them."""

    lines: dict[str, set[int]] = field(default_factory=dict[str, set[int]])
    functions: dict[str, set[int]] = field(default_factory=dict[str, set[int]])
    sizes: dict[str, int] = field(default_factory=dict[str, int])


@dataclass
class Selection:
    """What one method chose: files in order, lines by file, further names, and the tokens that it used."""

    ranked: Sequence[str]
    shown: Mapping[str, set[int]]
    names: set[str]
    tokens: int


def main() -> int:
    options = arguments()
    cases = [case for case in listed(Path(options.list)) if not options.briefs or case.brief]
    clones = Path(options.clones)
    by_repository: dict[str, list[Case]] = defaultdict(list)
    for case in cases:
        if options.repository in {"", case.repository}:
            by_repository[case.repository].append(case)
    scores: dict[tuple[str, str], list[dict[str, float]]] = defaultdict(list)
    for repository, group in by_repository.items():
        if (clone := place(clones, repository)) is None:
            print(f"no clone of {repository} in {clones}")
            continue
        for case, method, score in measured(clone, group[: options.most]):
            scores[method, case.kind].append(score)
            if case.kind == "code":
                scores[method, f"  {language_of(clone)}"].append(score)
            if score["small"]:
                scores[method, "small tasks"].append(score)
            if case.brief:
                scores[method, "brief suite"].append(score)
        print(f"{repository}: {len(group)}", file=sys.stderr)
    return report(scores)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("clones", nargs="?", default=os.environ.get("DISPATCH_MCP_CLONES", "clones"))
    parser.add_argument("--briefs", action="store_true", help="only the sixty tasks of the brief suite")
    parser.add_argument("--repository", default="", help="only this one, as owner/name")
    parser.add_argument("--most", type=int, default=1_000, help="tasks of a repository")
    parser.add_argument("--list", default=str(LIST), help="another list of commits, such as those for development")
    return parser.parse_args()


def listed(file: Path) -> list[Case]:
    rows = [line.split("\t") for line in file.read_text("utf-8").splitlines() if line and not line.startswith("#")]
    return [Case(suite == "brief", kind, repository, commit) for _, suite, kind, repository, commit in rows]


def place(clones: Path, repository: str) -> Path | None:
    folder = clones / repository.replace("/", "+")
    return next((path for path in (folder / "repo", folder) if (path / "objects").is_dir()), None)


def language_of(clone: Path) -> str:
    names = git(clone, "ls-tree", "-r", "--name-only", "HEAD").split("\n")
    counts: dict[str, int] = defaultdict(int)
    for name in names:
        counts[languages.language(name)] += languages.role(name) == "source"
    return LANGUAGES.get(max(counts, key=counts.__getitem__), "other")


def measured(clone: Path, cases: Sequence[Case]) -> Iterator[tuple[Case, str, dict[str, float]]]:
    with tempfile.TemporaryDirectory() as folder, pack_gatherer.Gatherer(Path(folder, "state")) as gatherer:
        tree = Path(folder, "tree")
        tree.mkdir()
        past = history(clone)
        for case in cases:
            time, message = git(clone, "show", "-s", "--format=%ct%n%B", case.commit).split("\n", 1)
            check_out(clone, f"{case.commit}^", tree, Path(folder, "index"))
            truth = truth_of(clone, case.commit, tree)
            if not truth.lines:
                continue
            pack = gatherer.pack(tree, task_of(message), budget=BUDGET, past_commits=past.until(int(time), case.commit))
            shown: dict[str, set[int]] = defaultdict(set)
            for item in pack.chosen:
                shown[item.path] |= set(range(item.first, item.last + 1))
            packed = Selection(pack.ranked, shown, {*shown, *pack.also}, pack.tokens)
            yield case, "packs", scored(case, truth, packed)
            yield (
                case,
                "strong FTS5",
                scored(case, truth, fts(Path(folder, "state"), tree, task_of(message), case.kind)),
            )
        past.close()


def git(clone: Path, *words: str, env: Mapping[str, str] | None = None, cwd: Path | None = None) -> str:
    done = subprocess.run(["git", *words], cwd=cwd or clone, env=env, capture_output=True, check=True)
    return done.stdout.decode("utf-8", "replace")


def check_out(clone: Path, commit: str, tree: Path, index: Path) -> None:
    names = {"GIT_DIR": str(clone), "GIT_WORK_TREE": str(tree), "GIT_INDEX_FILE": str(index)}
    git(clone, "read-tree", "-u", "--reset", commit, env={**os.environ, **names}, cwd=tree)


def history(clone: Path) -> pack_gatherer.PastCommits:
    log = git(
        clone, "log", "--no-merges", "--no-renames", "--name-only", "-n", "6000", "--format=%x01%H%x02%ct%x02%s%x03"
    )
    commits: list[git_log.Commit] = []
    for entry in log.split("\x01")[1:]:
        about, _, names = entry.partition("\x03")
        sha, time, subject = about.split("\x02", 2)
        commits.append(git_log.Commit(sha, int(time), subject, tuple(name for name in names.split("\n") if name)))
    return pack_gatherer.PastCommits(commits)


def task_of(message: str) -> str:
    """Returns a commit's message without issue numbers and trailers."""
    title, *rest = [re.sub(r"\s*\(?#\d+\)?", "", line) for line in message.strip().split("\n")]
    return f"{title.strip()}\n\n{chr(10).join(line for line in rest if not TRAILER.match(line)).strip()}".strip()[:1500]


def truth_of(clone: Path, commit: str, tree: Path) -> Truth:
    truth = Truth()
    for path in git(clone, "diff-tree", "-r", "--no-commit-id", "--name-only", "--diff-filter=M", commit).split("\n"):
        if not path or UNKNOWABLE.search(path) or languages.role(path) == "copy" or not (tree / path).is_file():
            continue
        diff = git(clone, "diff", "--no-renames", "-U0", f"{commit}^", commit, "--", path)
        lines: set[int] = set()
        for first, count in re.findall(r"^@@ -(\d+)(?:,(\d+))? \+", diff, re.MULTILINE):
            start, many = int(first), int(count or 1)
            lines |= set(range(start, start + many)) if many else {max(1, start), start + 1}
        text = (tree / path).read_text("utf-8", "replace")
        truth.lines[path], truth.sizes[path] = lines, text.rstrip("\n").count("\n") + 1
        parts = [part for part in chunks.divide(text, path) if part.kind in {"function", "class"}]
        touched = [part for part in parts if any(part.first <= line <= part.last for line in lines)]
        truth.functions[path] = {line for part in touched for line in range(part.first, part.last + 1)}
    return truth


def scored(case: Case, truth: Truth, chosen: Selection) -> dict[str, float]:
    about = [path for path in truth.lines if case.kind != "code" or file_kinds.of(path) == "source"] or [*truth.lines]
    functions = sum(len(truth.functions[path]) for path in about)
    inside = sum(len(truth.functions[path] & chosen.shown.get(path, set())) for path in about)
    given = [bool(truth.lines[path] & chosen.shown.get(path, set())) for path in about]
    count = sum(len(truth.lines[path]) for path in truth.lines)
    return {
        "r@5": sum(path in chosen.ranked[:5] for path in about) / len(about),
        "hit": float(any(given)),
        **({"lines": inside / functions} if functions else {}),
        "given": sum(given) / len(given),
        "named": sum(path in chosen.names for path in truth.lines) / len(truth.lines),
        "used": chosen.tokens / BUDGET,
        "small": float(len(truth.lines) == 1 and count <= 10),
    }


def fts(state: Path, tree: Path, task: str, kind: str) -> Selection:
    """Asks the words of the same parts with weighted columns: stop words dropped, words of the title twice."""
    query = context_query.read(task)
    words = " OR ".join(f'"{word}"' for word in [*query.words, *query.title])
    if not words:
        return Selection((), {}, set(), 0)
    with file_index.FileIndex(state, tree) as index:
        rows: list[tuple[float, str, int, int]] = []
        for table in ("code",) if kind == "code" else ("code", "prose"):
            rows += index.db.execute(
                "SELECT hits.score, files.path, first, last"
                f" FROM (SELECT rowid, bm25({table}, 4.0, 6.0, 1.0) AS score FROM {table} WHERE {table} MATCH ?"
                " ORDER BY score LIMIT 300) AS hits"
                " JOIN chunks ON chunks.id = hits.rowid JOIN files ON files.id = chunks.file",
                (words,),
            ).fetchall()
    shown: dict[str, set[int]] = defaultdict(set)
    used = 0
    for _, path, first, last in sorted(rows):
        text = "\n".join((tree / path).read_text("utf-8", "replace").split("\n")[first - 1 : last])
        tokens = token_count.count(text) + 12
        if used + tokens <= BUDGET - 500:
            used += tokens
            shown[path] |= set(range(first, last + 1))
    ranked = list(dict.fromkeys(path for _, path, _, _ in sorted(rows)))
    return Selection(ranked, shown, {*shown, *ranked[:40]}, used)


def report(scores: Mapping[tuple[str, str], Sequence[Mapping[str, float]]]) -> int:
    if not scores:
        print("no clones, nothing measured; see --help")
        return 0
    print(f"{'':30}{'tasks':>7}" + "".join(f"{name:>8}" for name in (*COLUMNS, "used")))
    for (method, kind), rows in sorted(scores.items()):
        means = [statistics.fmean([row[name] for row in rows if name in row] or [0.0]) for name in COLUMNS]
        used = statistics.median(row["used"] for row in rows)
        print(f"{method + ', ' + kind:30}{len(rows):7}" + "".join(f"{mean:8.3f}" for mean in (*means, used)))
    suite = scores.get(("packs", "brief suite"), ())
    missed = [name for name, bound in BOUNDS.items() if suite and statistics.fmean(row[name] for row in suite) < bound]
    for name in missed:
        print(f"missed: {name} of the brief suite, the bound {BOUNDS[name]:.2f}")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
