"""Asks git which files a workspace has and what its past commits touched; git only reads, in a bare environment.

Git is started here without an event loop, unlike in `git.git_process`: packs are built in threads and by callers that
have none. A loop of its own would cost each question half as much again, and cannot be started where one runs.
"""

from __future__ import annotations

import os
import re
import subprocess
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final, NamedTuple

from dispatch_mcp.process import allowlist, child_environment, program_path, safe_paths
from dispatch_mcp.text import escape

MAX_COMMITS: Final = 3_000
"""Newest commits of a workspace that are remembered."""
_SECONDS: Final = 30.0
"""Patience with one question; a workspace whose git is slower is walked instead."""
_READ_ONLY = allowlist.parse(())
_ABOUT = re.compile(r"([0-9a-f]{7,64})\x02(-?\d{1,15})\x02(.*)", re.DOTALL)
"""What stands of a commit before the names of its files."""
_LOG = ("log", "--no-merges", "--no-renames", "--name-only", "-z", "--format=%x01%H%x02%ct%x02%s%x03")

_GRAMMARS: Final = ("-P", "-E")
"""How git reads a pattern, the quicker way first, which some builds lack: ten words in 200 MB take 0.8 and 1.9 s of
processor time, and 4.4 s with -F, which looks for each of them by itself."""


class Commit(NamedTuple):
    """One commit: `time` in seconds since the epoch, `files` relative to the workspace."""

    sha: str
    time: int
    subject: str
    files: tuple[str, ...]


def belongs_to(workspace: Path) -> bool:
    """Returns whether the workspace lies in a git repository."""
    return any((folder / ".git").exists() for folder in (workspace, *workspace.parents))


def files(workspace: Path) -> list[str] | None:
    """Returns the files that git tracks or would track, relative to the workspace; None when it cannot say."""
    text = _git(workspace, "ls-files", "-z", "-c", "-o", "--exclude-standard", "--deduplicate", "--", ".")
    return None if text is None else [path for path in text.split("\0") if path]


def head(workspace: Path) -> str:
    """Returns the commit that is checked out, or an empty text."""
    return (_git(workspace, "rev-parse", "--verify", "-q", "HEAD") or "").strip()


def changes(workspace: Path) -> list[str]:
    """Returns the files with changes that are not committed, relative to the workspace; none when git cannot say."""
    text = _git(workspace, "status", "--porcelain=v1", "-z", "--no-renames", "-unormal", "--", ".")
    prefix = _prefix(workspace)
    paths = (entry[3:].removeprefix(prefix) for entry in (text or "").split("\0"))
    return [path for path in paths if path]


def commits(workspace: Path, since: str = "") -> list[Commit] | None:
    """Returns the newest commits, newest first, down to `since` without it; None when git cannot say."""
    span = f"{since}..HEAD" if since else "HEAD"
    prefix = _prefix(workspace)
    text = _git(workspace, *_LOG, "-n", str(MAX_COMMITS), span, *(("--", ".") if prefix else ()))
    return None if text is None else list(_commits(text, prefix))


def occurrences(workspace: Path, words: Sequence[str], within_s: float) -> Counter[tuple[str, str]]:
    """Returns how often each of the words stands in each text file, in lower case; also in what is no repository.

    What is not told in so many seconds is left out.
    """
    kind = ("--untracked",) if belongs_to(workspace) else ("--no-index", "--exclude-standard")
    options = ("-I", "-i", "-o", "-z", "--no-color", "--no-recurse-submodules")
    pattern = "|".join(map(re.escape, sorted(words, key=len, reverse=True)))
    counts = Counter[tuple[str, str]]()
    if not words:
        return counts
    answers = (
        _git(workspace, "grep", *kind, *options, grammar, "-e", pattern, "--", ".", within_s=within_s, codes=(0, 1))
        for grammar in _GRAMMARS
    )
    text = next((answer for answer in answers if answer is not None), "")
    for line, count in Counter(text.split("\n")).items():
        path, _, word = line.partition("\0")
        if word:
            counts[path, word.lower()] += count
    return counts


def _prefix(workspace: Path) -> str:
    top = next((folder for folder in (workspace, *workspace.parents) if (folder / ".git").exists()), workspace)
    inside = workspace.relative_to(top).as_posix()
    return "" if inside == "." else f"{inside}/"


def _commits(text: str, prefix: str) -> Iterator[Commit]:
    """Yields what can be read: an entry that git or its author has garbled leaves itself out, and so does a name."""
    for entry in text.split("\x01")[1:]:
        about, _, names = entry.partition("\x03")
        match = _ABOUT.fullmatch(about)
        if match is None:
            continue
        paths = (path.strip("\n") for path in names.split("\0"))
        inside = tuple(
            path.removeprefix(prefix) for path in paths if path and path.startswith(prefix) and safe_paths.sayable(path)
        )
        yield Commit(match[1], int(match[2]), escape.encodable(match[3]), inside)


def _git(workspace: Path, *arguments: str, within_s: float = _SECONDS, codes: Collection[int] = (0,)) -> str | None:
    """Returns what git prints; None when there is no git, or it fails.

    Of one that takes too long: None, or what it has printed so far where `within_s` is given.
    """
    environment = _environment()
    program = program_path.find("git", environment["PATH"])
    if program is None:
        return None
    try:
        result = subprocess.run(  # noqa: S603  # a fixed command; the settings that could run programs are off
            [program, *arguments],
            cwd=workspace,
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=within_s,
            check=False,
        )
    except subprocess.TimeoutExpired as late:
        return os.fsdecode(late.stdout or b"") if within_s < _SECONDS else None
    except (OSError, subprocess.SubprocessError):
        return None
    return os.fsdecode(result.stdout) if result.returncode in codes else None


def _environment() -> Mapping[str, str]:
    """Returns what any child receives, with the settings off by which a repository names programs to run."""
    rule = _READ_ONLY.find(("git", "status"))
    assert rule is not None, "git status is read-only"
    environment = child_environment.ChildPolicy(os.environ).environment(rule.env)
    return {**environment, "PATH": program_path.absolute(environment.get("PATH", ""))}
