"""Changes as git gives them: ranges, the working tree, hostile repositories and hostile words."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from dispatch_mcp import errors
from dispatch_mcp.git import diff_source, git_process
from dispatch_mcp.process import child_environment
from dispatch_mcp.text import unified_diff

pytestmark = pytest.mark.anyio

HOSTILE = [
    "--output=pwned",
    "-O/etc/passwd",
    "--ext-diff",
    "HEAD --output=pwned",
    "HEAD;touch pwned",
    "$(touch pwned)",
    "HEAD..--output=pwned",
    "--no-index",
    "HEAD\0HEAD",
    "..\n--output=pwned",
    "HEAD^{/fix}..HEAD -- a",
    ":/secret",
    "HEAD:app.py",
    "@{-1}..-p",
]


def git(folder: Path, *arguments: str) -> str:
    done = subprocess.run(["git", *arguments], cwd=folder, check=True, capture_output=True, text=True)
    return done.stdout.strip()


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    folder = tmp_path / "shop"
    folder.mkdir()
    git(folder, "init", "-q", "-b", "main")
    (folder / "app.py").write_text("one\ntwo\n")
    git(folder, "add", ".")
    git(folder, "commit", "-q", "-m", "Begin")
    return folder


@pytest.fixture
def found(tmp_path: Path) -> diff_source.GitChanges:
    return diff_source.GitChanges(git_process.Git(tmp_path / "home", child_environment.ChildPolicy(os.environ)))


def files(change: object) -> dict[str, str]:
    return {one.path: one.kind for one in unified_diff.parse(change.text).files}  # type: ignore[attr-defined]


async def test_the_working_tree_holds_what_changed_and_what_is_new(shop: Path, found: diff_source.GitChanges) -> None:
    (shop / "app.py").write_text("one\n2\n")
    (shop / "new file.py").write_text("hello\n")
    (shop / "logo.png").write_bytes(b"\0\1")
    (shop / "link").symlink_to("/etc/passwd")
    (shop / ".gitignore").write_text("ignored.py\n")
    (shop / "ignored.py").write_text("no\n")
    change = await found.of_tree(str(shop))
    assert change.about == "the working tree"
    assert files(change) == {
        "app.py": "modified",
        "new file.py": "new",
        "logo.png": "new",
        ".gitignore": "new",
        "link": "new",
    }
    assert "root:" not in change.text


async def test_only_the_asked_paths_are_looked_at(shop: Path, found: diff_source.GitChanges) -> None:
    for name in ("app.py", "other.py"):
        (shop / name).write_text("changed\n")
    assert files(await found.of_tree(str(shop), ["app.py"])) == {"app.py": "modified"}


async def test_a_repository_without_a_commit_has_new_files_only(tmp_path: Path, found: diff_source.GitChanges) -> None:
    git(tmp_path, "init", "-q")
    (tmp_path / "first.py").write_text("x\n")
    assert files(await found.of_tree(str(tmp_path)))["first.py"] == "new"


@pytest.mark.parametrize("asked", ["main", "main...work", "main..work", "HEAD~1"])
async def test_a_range_is_what_was_done_since(shop: Path, found: diff_source.GitChanges, asked: str) -> None:
    git(shop, "checkout", "-q", "-b", "work")
    (shop / "app.py").write_text("one\nzwei\n")
    git(shop, "commit", "-qam", "Change")
    (shop / "app.py").write_text("not part of it\n")
    change = await found.of_range(str(shop), asked)
    assert "+zwei" in change.text
    assert "not part of it" not in change.text
    assert change.head == git(shop, "rev-parse", "HEAD")


@pytest.mark.promise("S5")
@pytest.mark.parametrize("asked", HOSTILE)
async def test_no_word_of_a_range_is_an_option_or_a_command(
    shop: Path, found: diff_source.GitChanges, asked: str
) -> None:
    with pytest.raises(errors.InputError):
        await found.of_range(str(shop), asked)
    assert not (shop / "pwned").exists()


@pytest.mark.promise("S5")
async def test_no_program_of_the_repository_runs(shop: Path, found: diff_source.GitChanges, tmp_path: Path) -> None:
    spy = tmp_path / "spy.sh"
    spy.write_text(f'#!/bin/sh\ntouch {tmp_path}/pwned\ncat "$1" 2>/dev/null\n')
    spy.chmod(0o755)
    git(shop, "config", "diff.external", str(spy))
    git(shop, "config", "diff.spy.textconv", str(spy))
    git(shop, "config", "diff.spy.command", str(spy))
    git(shop, "config", "core.fsmonitor", str(spy))
    (shop / ".gitattributes").write_text("*.py diff=spy\n")
    (shop / "app.py").write_text("one\nzwei\n")
    change = await found.of_tree(str(shop))
    assert "+zwei" in change.text
    assert not (tmp_path / "pwned").exists()


async def test_settings_of_the_repository_do_not_change_the_form(shop: Path, found: diff_source.GitChanges) -> None:
    for name, value in (("diff.noprefix", "true"), ("color.ui", "always"), ("diff.mnemonicPrefix", "true")):
        git(shop, "config", name, value)
    (shop / "app.py").write_text("one\nzwei\n")
    assert (await found.of_tree(str(shop))).text.startswith("diff --git a/app.py b/app.py\n")


async def test_a_folder_without_a_repository_is_refused(tmp_path: Path, found: diff_source.GitChanges) -> None:
    with pytest.raises(errors.InputError, match="diff"):
        await found.of_tree(str(tmp_path / "nowhere"))
    (tmp_path / "plain").mkdir()
    with pytest.raises(errors.InputError, match="what changed"):
        await found.of_tree(str(tmp_path / "plain"))


async def test_a_change_without_end_is_refused_and_not_cut(shop: Path, found: diff_source.GitChanges) -> None:
    small = diff_source.GitChanges(found.git, output_cap=2_000)
    (shop / "app.py").write_text("x\n" * 5_000)
    with pytest.raises(errors.InputError, match="smaller ranges"):
        await small.of_tree(str(shop))
