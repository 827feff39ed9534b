"""Asks git which files a workspace has and what its past commits touched; git only reads, in a bare environment."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

from dispatch_mcp.context import past_commits
from dispatch_mcp.process import allowlist, child_environment

MAX_COMMITS: Final = 3_000
_SECONDS: Final = 30.0
_READ_ONLY = allowlist.parse(())
_LOG = ("log", "--no-merges", "--no-renames", "--name-only", "-z", "--format=%x01%H%x02%ct%x02%s%x03")


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


def commits(workspace: Path, since: str = "") -> list[past_commits.Commit] | None:
    """Returns the newest commits, newest first, down to `since` without it; None when git cannot say."""
    span = f"{since}..HEAD" if since else "HEAD"
    prefix = _prefix(workspace)
    text = _git(workspace, *_LOG, "-n", str(MAX_COMMITS), span, *(("--", ".") if prefix else ()))
    return None if text is None else list(_commits(text, prefix))


def _prefix(workspace: Path) -> str:
    top = next((folder for folder in (workspace, *workspace.parents) if (folder / ".git").exists()), workspace)
    inside = workspace.relative_to(top).as_posix()
    return "" if inside == "." else f"{inside}/"


def _commits(text: str, prefix: str) -> Iterator[past_commits.Commit]:
    for entry in text.split("\x01")[1:]:
        about, _, names = entry.partition("\x03")
        sha, time, subject = about.split("\x02", 2)
        paths = (path.strip("\n") for path in names.split("\0"))
        inside = tuple(path.removeprefix(prefix) for path in paths if path and path.startswith(prefix))
        yield past_commits.Commit(sha, int(time), subject, inside)


def _git(workspace: Path, *arguments: str) -> str | None:
    """Returns what git prints; None when there is no git, it fails, or it takes too long."""
    environ = _environment()
    program = shutil.which("git", path=environ.get("PATH", ""))
    if program is None:
        return None
    try:
        done = subprocess.run(  # noqa: S603  # a fixed command; the settings that could run programs are off
            [program, *arguments],
            cwd=workspace,
            env=environ,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=_SECONDS,
            check=False,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return os.fsdecode(done.stdout) if done.returncode == 0 else None


def _environment() -> Mapping[str, str]:
    rule = _READ_ONLY.find(("git", "status"))
    assert rule is not None, "git status is read-only"
    kept = {name: value for name, value in os.environ.items() if name in child_environment.BASE_NAMES}
    path = os.pathsep.join(part for part in kept.get("PATH", "").split(os.pathsep) if Path(part).is_absolute())
    return {**kept, **child_environment.FIXED, **rule.env, "PATH": path}
