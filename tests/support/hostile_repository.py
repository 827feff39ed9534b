"""A repository that somebody has packed to run programs: every setting, hook and attribute by which git starts one.

Each of them is a script that leaves a mark named after the setting.
"""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

from temp_repository import commit, git, lines, make, write

_PROGRAM = re.compile(
    r"(cmd|command|program|helper|editor|pager|driver|textconv|clean|smudge|process|tunnel|external|askpass|proxy|"
    r"browser|vcs|pack|filter|fsmonitor|packobjectshook|diffdriver)$",
    re.IGNORECASE,
)
_NO_PROGRAM = re.compile(
    r"^(column|color|http|completion|feature|advice|remote\.evil\.partialclonefilter|diff\.evil\.cachetextconv)\b"
)
ALWAYS = (
    *("core.fsmonitor", "core.editor", "core.pager", "core.sshCommand", "core.askPass", "core.alternateRefsCommand"),
    *(
        "filter.evil.clean",
        "filter.evil.smudge",
        "filter.evil.process",
        "filter.e=v.i l.clean",
        "filter.e=v.i l.smudge",
    ),
    *("diff.external", "diff.evil.command", "diff.evil.textconv", "merge.evil.driver", "gpg.program", "pager.log"),
    *("gpg.ssh.program", "gpg.x509.program", "gpg.ssh.defaultKeyCommand", "credential.helper", "sequence.editor"),
    *("alias.status", "alias.st", "interactive.diffFilter", "trailer.evil.cmd", "trailer.evil.command", "pager.status"),
    *("uploadpack.packObjectsHook", "remote.origin.uploadpack", "pager.diff", "hook.evil.command", "tar.tgz.command"),
)
_HOOKS = [
    "applypatch-msg",
    "pre-applypatch",
    "post-applypatch",
    "pre-commit",
    "pre-merge-commit",
    "prepare-commit-msg",
    "commit-msg",
    "post-commit",
    "pre-rebase",
    "post-checkout",
    "post-merge",
    "pre-push",
    "pre-receive",
    "update",
    "proc-receive",
    "post-receive",
    "post-update",
    "reference-transaction",
    "push-to-checkout",
    "pre-auto-gc",
    "post-rewrite",
    "sendemail-validate",
    "fsmonitor-watchman",
    "post-index-change",
]


def settings() -> list[str]:
    """Returns the settings that name programs: those that every git has, and what this git's documentation adds."""
    listing = subprocess.run(["git", "help", "--config"], check=False, capture_output=True, text=True).stdout
    names = [re.sub(r"<[^>]*>|\*", "evil", name) for name in listing.split()]
    return list(dict.fromkeys([*ALWAYS, *(name for name in names if _PROGRAM.search(name))]))


class Hostile:
    """The repository at `repo`; `marks` is where its programs leave marks."""

    def __init__(self, folder: Path) -> None:
        self.marks, self._bin = folder / "marks", folder / "bin"
        for at in (self.marks, self._bin):
            at.mkdir(parents=True)
        self.repo = make(folder / "repo")
        write(self.repo, "src/many.txt", lines(40))
        write(self.repo, ".gitattributes", "*.txt filter=evil diff=evil merge=evil\n*.py filter=e=v.i\\ l diff=evil\n")
        write(self.repo, "app.py", "def total(items):\n    return sum(items)\n")
        git(self.repo, "-c", "core.hooksPath=/dev/null", "add", "-A")
        self._submodule(folder)
        commit(self.repo, "Second")
        write(self.repo, "a.txt", lines().replace("line 5", "line five"))
        write(self.repo, "app.py", "def total(items):\n    return sum(items or [])\n")
        self.arm(self.repo, self.repo / ".git")
        self.arm(self.repo / "parts/pump", self.repo / ".git" / "modules" / "parts" / "pump")
        self.stir()

    def _submodule(self, folder: Path) -> None:
        make(folder / "pump")
        git(self.repo, "-c", "protocol.file.allow=always", "submodule", "--quiet", "add", "../pump", "parts/pump")

    def script(self, name: str) -> str:
        """Returns a program that leaves a mark."""
        path = self._bin / re.sub(r"[^A-Za-z0-9.-]", "_", name)
        mark = self.marks / path.name
        path.write_text(f'#!/bin/sh\necho "$0 $*" >> {mark}\ncat 2>/dev/null\n')
        path.chmod(0o755)
        return str(path)

    def arm(self, at: Path, git_dir: Path) -> None:
        """Lets a repository's configuration, hooks and attributes name programs."""
        for name in settings():
            if not _NO_PROGRAM.search(name):
                subprocess.run(["git", "config", name, self.script(name)], cwd=at, check=False, capture_output=True)
        hooks = git_dir / "own-hooks"
        hooks.mkdir()
        for hook in _HOOKS:
            for folder in (hooks, git_dir / "hooks"):
                folder.mkdir(exist_ok=True)
                (folder / hook).unlink(missing_ok=True)
                (folder / hook).symlink_to(self.script(f"hook {hook}"))
        (git_dir / "more-settings").write_text(
            f'[filter "evil"]\n\trequired = true\n[diff]\n\texternal = {self.script("included")}\n'
        )
        for key, value in {
            "core.hooksPath": str(hooks),
            "include.path": "more-settings",
            "filter.e=v.i l.required": "true",
            "log.showSignature": "true",
            "commit.gpgSign": "true",
            "merge.verifySignatures": "true",
            "core.untrackedCache": "true",
            "remote.origin.url": f"ext::{self.script('ext transport')} x",
            "remote.origin.promisor": "true",
            "protocol.ext.allow": "always",
            "status.submoduleSummary": "true",
            "diff.submodule": "log",
            "diff.ignoreSubmodules": "none",
            "submodule.parts/pump.ignore": "none",
            "submodule.recurse": "true",
            "hook.evil.event": "post-checkout",
            "maintenance.auto": "true",
            "gc.auto": "1",
        }.items():
            subprocess.run(["git", "config", key, value], cwd=at, check=True, capture_output=True)
        (git_dir / "info").mkdir(exist_ok=True)
        (git_dir / "info" / "attributes").write_text("*.txt filter=evil diff=evil merge=evil\n")

    def stir(self) -> None:
        """Lets every file look as if it might have changed, so that git has to read it."""
        for path in self.repo.rglob("*.*"):
            if path.is_file() and ".git" not in path.parts:
                os.utime(path, (1_000_000_000, 1_000_000_000))

    def left(self) -> list[str]:
        """Returns which programs were started."""
        return sorted(path.name for path in self.marks.iterdir())
