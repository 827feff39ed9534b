"""Work that must fail again, as a person meets it: tried once, with the reason, however many attempts it has."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import command_runs
import pytest
import temp_repository

from dispatch_mcp.model import failures

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="programs are supervised on POSIX only")

TOUCH = ["python", "-S", "-c", "import sys; open(sys.argv[1], 'a').write('more')"]
NO_PROGRAM = "no-such-program-of-anybody"


def as_it_is(_repo: Path) -> None:
    """Leaves the repository as it is."""


def with_filter(**programs: str) -> Callable[[Path], None]:
    """Returns what lets the repository need a filter for its text files that the user has set up."""

    def prepare(repo: Path) -> None:
        temp_repository.write(repo, ".gitattributes", "*.txt filter=lfs\n")
        temp_repository.commit(repo)
        for kind, program in programs.items():
            temp_repository.git(repo, "config", "--global", f"filter.lfs.{kind}", program)
        temp_repository.git(repo, "config", "--global", "filter.lfs.required", "true")

    return prepare


def without_repository(repo: Path) -> None:
    (repo / ".git").rename(repo.parent / "gone")


def with_foreign_line_ends(repo: Path) -> None:
    (repo / "dos.txt").write_bytes(b"one\r\ntwo\r\n")
    temp_repository.commit(repo)
    temp_repository.write(repo, ".gitattributes", "dos.txt text eol=lf\n")
    temp_repository.git(repo, "add", ".gitattributes")
    temp_repository.git(repo, "commit", "-q", "-m", "Attributes")


def with_binary(repo: Path) -> None:
    program = repo.parent / "bin" / "odd"
    program.parent.mkdir()
    program.write_bytes(b"\x7fELF nothing that starts")
    program.chmod(0o755)


class Case(NamedTuple):
    prepare: Callable[[Path], None]
    command: list[str]
    kind: failures.FailureKind
    words: str
    own_tree: bool = True


CASES = {
    "git-lfs is not installed": Case(
        with_filter(smudge=f"{NO_PROGRAM} smudge"), [*TOUCH, "a.txt"], "broken_filter", "git-lfs"
    ),
    "a filter process is not installed": Case(
        with_filter(process=NO_PROGRAM), [*TOUCH, "a.txt"], "broken_filter", "filter `lfs`"
    ),
    "a filter fails when the work is kept": Case(
        with_filter(smudge="cat", clean="awk '/more/ {exit 1} {print}'"),
        [*TOUCH, "a.txt"],
        "broken_filter",
        "clean filter",
    ),
    "there is no repository": Case(without_repository, [*TOUCH, "a.txt"], "no_worktree", "not in a git repository"),
    "a fresh worktree differs": Case(with_foreign_line_ends, [*TOUCH, "a.txt"], "no_worktree", "line endings"),
    "a program is missing": Case(as_it_is, [NO_PROGRAM], "no_program", "not on the PATH", own_tree=False),
    "a file is no program": Case(with_binary, ["odd"], "unstartable", "could not be started", own_tree=False),
    "a command is refused": Case(as_it_is, ["env"], "not_allowed", "allow-list", own_tree=False),
    "a command ends with an error": Case(as_it_is, ["false"], "exit_code", "exit code 1", own_tree=False),
}


@pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())
def test_what_must_fail_again_is_tried_once_and_says_why(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], case: Case
) -> None:
    repo = temp_repository.make(tmp_path / "repo")
    case.prepare(repo)
    monkeypatch.setenv("DISPATCH_MCP_WORKSPACE", str(repo))
    monkeypatch.setenv(
        "DISPATCH_MCP_ALLOW_COMMANDS", json.dumps([["python", "-S", "-c", "**"], [NO_PROGRAM], ["odd"], ["false"]])
    )
    monkeypatch.setenv("PATH", str(tmp_path / "bin"), prepend=os.pathsep)
    shell = command_runs.shell(monkeypatch, capsys)
    task: dict[str, Any] = {"id": "t", "do": "Change a file", "command": case.command, "attempts": 3}
    more = {"files": ["a.txt"], "isolation": "worktree"} if case.own_tree else {}
    answer = shell("run", command_runs.written(tmp_path, [{**task, **more}]), "--quiet")
    assert answer.code == 1
    assert case.words in answer.json["results"][0]["error"]
    line = shell("status", "latest", "--json").json["tasks"][0]
    assert (line["error"], line["attempts"], line["state"]) == (case.kind, 1, "failed")
