"""Which folders are no workspace: the root of the disk, homes, and what nobody has named and shows no project.

Searching one would read everything that its user has. Servers are started there by programs that know no better.
"""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import Final

from dispatch_mcp.next_steps import NextStep, StepKind
from dispatch_mcp.process import safe_paths

_HOMES_PARTS: Final = 2
"""Parts of the path of a folder that holds the homes of all users, such as `/home`."""

_HISTORIES: Final = frozenset({".git", ".hg", ".svn", ".jj", ".bzr", "_darcs", ".fossil", ".fslckout"})
"""Names by which version control marks the top of a project; folders below it belong to it."""
_MARKS: Final = _HISTORIES | {
    *("pyproject.toml", "setup.py", "setup.cfg", "requirements.txt", "pipfile", "tox.ini", "environment.yml"),
    *(
        "package.json",
        "deno.json",
        "deno.jsonc",
        "tsconfig.json",
        "jsconfig.json",
        "bunfig.toml",
        "pnpm-workspace.yaml",
    ),
    *("cargo.toml", "go.mod", "go.work", "composer.json", "gemfile", "rakefile", "mix.exs", "rebar.config"),
    *(
        "pom.xml",
        "build.gradle",
        "build.gradle.kts",
        "settings.gradle",
        "settings.gradle.kts",
        "build.sbt",
        "build.xml",
    ),
    *("makefile", "gnumakefile", "cmakelists.txt", "meson.build", "configure.ac", "sconstruct", "justfile"),
    *("taskfile.yml", "taskfile.yaml", "workspace.bazel", "module.bazel", "build.bazel", "flake.nix"),
    *("dockerfile", "compose.yaml", "compose.yml", "docker-compose.yml", "docker-compose.yaml", "vagrantfile"),
    *("package.swift", "podfile", "pubspec.yaml", "stack.yaml", "cabal.project", "dune-project", "project.clj"),
    *("deps.edn", "build.zig", "shard.yml", "project.toml", "main.tf", "chart.yaml", "ansible.cfg"),
    *("mkdocs.yml", "_config.yml", "hugo.toml", "manifest.json", "platformio.ini", "project.godot", "elm.json"),
    *("readme", "readme.md", "readme.rst", "readme.txt", "readme.adoc", "license", "license.md", "license.txt"),
    *("agents.md", "claude.md", "gemini.md", ".mcp.json", ".claude", ".cursor", ".vscode", ".idea", ".editorconfig"),
    *(".gitignore", ".gitattributes", ".github", ".gitlab-ci.yml", ".pre-commit-config.yaml", ".devcontainer"),
}
"""Names in lower case that stand at the top of projects and hardly anywhere else."""
_MARKED_ENDINGS: Final = (".sln", ".slnx", ".csproj", ".fsproj", ".vbproj", ".xcodeproj", ".xcworkspace", ".cabal")
_MARKED_ENDINGS_TOO: Final = (".gemspec", ".nimble", ".rockspec", ".uproject", ".code-workspace", ".opam")


def reason(workspace: Path | str, home: Path | None = None, *, is_guess: bool = False) -> str:
    """Returns why a folder is no workspace, empty for one that is; `home` is the user's, their own by default.

    A guess is a folder that nobody has named, because a program was started there: it has to look like a project.
    """
    real = Path(os.path.realpath(workspace))
    own = Path(os.path.realpath(home or Path.home()))
    if real == Path(real.anchor):
        return "the root of the disk"
    if real == own:
        return "your home folder"
    if real == own.parent and len(real.parts) <= _HOMES_PARTS:
        return "the folder of all homes"
    return _trouble(real, own, is_guess=is_guess)


def _trouble(real: Path, own: Path, *, is_guess: bool) -> str:
    try:
        with os.scandir(real) as entries:
            if not os.access(real, os.X_OK):  # its names may be listed, and nothing in it looked at
                raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
            if not is_guess or any(_is_mark(entry.name) for entry in entries):
                return ""
    except OSError as trouble:
        return f"a folder that cannot be read ({(trouble.strerror or 'it is not there').lower()})"
    return "" if _is_inside_project(real, own) else "a folder with no mark of a project (`.git`, README, …)"


def _is_mark(name: str) -> bool:
    low = name.lower()
    return low in _MARKS or low.endswith(_MARKED_ENDINGS + _MARKED_ENDINGS_TOO)


def _is_inside_project(real: Path, own: Path) -> bool:
    """Returns whether a folder lies in a project that is under version control; a home under it is no project."""
    for folder in real.parents:
        if folder in (own, Path(real.anchor)):
            return False
        if any((folder / name).exists() for name in _HISTORIES):
            return True
    return False


def refuse(workspace: Path | str, home: Path | None = None, *, is_guess: bool = False) -> None:
    """Does nothing for a folder that may be searched.

    Raises:
        Refused: it is no workspace.
    """
    why = reason(workspace, home, is_guess=is_guess)
    if why:
        raise safe_paths.Refused(
            f"{str(workspace)!r} is no workspace: it is {why}.", hint=NextStep(StepKind.NAME_WORKSPACE)
        )
