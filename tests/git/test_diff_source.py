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
    with pytest.raises(errors.InputError, match="no git repository"):
        await found.of_range(str(tmp_path / "plain"), "main")


async def test_a_change_without_end_is_refused_and_not_cut(shop: Path, found: diff_source.GitChanges) -> None:
    small = diff_source.GitChanges(found.git, output_cap=2_000)
    (shop / "app.py").write_text("x\n" * 5_000)
    with pytest.raises(errors.InputError, match="smaller ranges"):
        await small.of_tree(str(shop))


@pytest.fixture
def nested(shop: Path) -> Path:
    """A repository with a package below it that is worked in; files outside of it are changed and new too."""
    for name in ("pkg/app/cart.py", "pkg/app/[id]/page.tsx", "pkg/app/i/page.tsx", "pkg/deep/er/x.py", "other/y.py"):
        (shop / name).parent.mkdir(parents=True, exist_ok=True)
        (shop / name).write_text("one\n")
    git(shop, "add", ".")
    git(shop, "commit", "-q", "-m", "Nested")
    for name in git(shop, "ls-files").split("\n"):
        (shop / name).write_text("two\n")
    for name in ("pkg/new.py", "pkg/app/new.py", "top new.py", "other/new.py"):
        (shop / name).write_text("new\n")
    return shop


EVERYTHING = {
    *("app.py", "other/y.py", "pkg/app/cart.py", "pkg/app/[id]/page.tsx", "pkg/app/i/page.tsx", "pkg/deep/er/x.py"),
    *("pkg/new.py", "pkg/app/new.py", "top new.py", "other/new.py"),
}


@pytest.mark.parametrize("below", ["", "pkg", "pkg/deep/er"])
async def test_the_working_tree_is_the_whole_of_it_wherever_one_stands(
    nested: Path, found: diff_source.GitChanges, below: str
) -> None:
    assert set(files(await found.of_tree(str(nested / below)))) == EVERYTHING


NOTHING: set[str] = set()
PATHS: list[tuple[list[str], set[str]]] = [
    (["app/cart.py"], {"pkg/app/cart.py"}),
    (["./app//cart.py", "app/cart.py"], {"pkg/app/cart.py"}),
    (["app"], {"pkg/app/cart.py", "pkg/app/[id]/page.tsx", "pkg/app/i/page.tsx", "pkg/app/new.py"}),
    (["app/*.py"], {"pkg/app/cart.py", "pkg/app/new.py"}),
    (["**/x.py"], {"pkg/deep/er/x.py"}),
    (["new.py", "deep/"], {"pkg/new.py", "pkg/deep/er/x.py"}),
    (["app/[id]/page.tsx"], {"pkg/app/[id]/page.tsx", "pkg/app/i/page.tsx"}),
    (["."], {name for name in EVERYTHING if name.startswith("pkg/")}),
    (["../other/y.py", "app/cart.py"], {"pkg/app/cart.py"}),
    (["nothing/there.py"], NOTHING),
    ([":(exclude)app"], NOTHING),
    ([":!app", "app/cart.py"], {"pkg/app/cart.py"}),
    (["--cached", "app/cart.py"], {"pkg/app/cart.py"}),
]


@pytest.mark.parametrize(("paths", "names"), PATHS, ids=[" ".join(paths) for paths, _ in PATHS])
async def test_paths_are_of_the_workspace_and_nothing_in_them_is_magic(
    nested: Path, found: diff_source.GitChanges, paths: list[str], names: set[str]
) -> None:
    assert set(files(await found.of_tree(str(nested / "pkg"), paths))) == names


@pytest.mark.parametrize("paths", [["/etc/passwd"], ["../other"], ["/", "a\0b"]])
async def test_paths_that_are_all_outside_are_refused_and_not_taken_for_everything(
    nested: Path, found: diff_source.GitChanges, paths: list[str]
) -> None:
    with pytest.raises(errors.InputError, match="None of these paths is in"):
        await found.of_tree(str(nested / "pkg"), paths)


async def test_files_can_be_left_out_by_name(nested: Path, found: diff_source.GitChanges) -> None:
    change = await found.of_tree(str(nested / "pkg"), leave_out=["app/[id]/page.tsx", "new.py", "app/cart.py"])
    assert EVERYTHING - set(files(change)) == {"pkg/app/[id]/page.tsx", "pkg/new.py", "pkg/app/cart.py"}


STRANGE = (
    "with space.py",
    "quote's.py",
    'double"quote.py',
    "ünï.py",
    "日本.py",
    "-p",
    "a\tb.py",
    "new\nline.py",
    "b\\s.py",
)


@pytest.mark.parametrize("staged", [True, False])
async def test_names_of_files_are_taken_as_they_are(shop: Path, found: diff_source.GitChanges, *, staged: bool) -> None:
    for name in STRANGE:
        (shop / name).write_text(f"{name!a}\n")
    git(shop, *(["add", "."] if staged else ["status"]))
    change = await found.of_tree(str(shop))
    assert {name for name, kind in files(change).items() if kind == "new"} == set(STRANGE)
    assert not unified_diff.read(change.text).gaps
    for name in STRANGE:
        assert set(files(await found.of_tree(str(shop), [name]))) <= {name}


async def test_moves_copies_modes_and_kinds_of_files_are_told(shop: Path, found: diff_source.GitChanges) -> None:
    text = "".join(f"line {number}\n" for number in range(20))
    for name in ("moved.py", "gone.py", "tool.sh", "kept.py", "link.py"):
        (shop / name).write_text({"kept.py": text, "gone.py": "short\n"}.get(name, f"{name}\n{text}"))
    git(shop, "add", ".")
    git(shop, "commit", "-q", "-m", "Files")
    git(shop, "mv", "moved.py", "now here.py")
    git(shop, "rm", "-q", "gone.py")
    (shop / "copy.py").write_text(text)
    (shop / "tool.sh").chmod(0o755)
    (shop / "link.py").unlink()
    (shop / "link.py").symlink_to("kept.py")
    git(shop, "add", ".")
    for change in (await found.of_tree(str(shop)), await found.of_range(str(shop), "--cached")):
        assert files(change) | {"link.py": ""} == {
            "now here.py": "renamed",
            "gone.py": "deleted",
            "copy.py": "new",
            "tool.sh": "modified",
            "link.py": "",
        }
        assert "old mode 100644\nnew mode 100755" in change.text
        assert not unified_diff.read(change.text).gaps


async def test_a_merge_with_conflicts_is_shown_as_the_files_are(shop: Path, found: diff_source.GitChanges) -> None:
    git(shop, "checkout", "-q", "-b", "work")
    (shop / "app.py").write_text("one\nzwei\n")
    git(shop, "commit", "-qam", "German")
    git(shop, "checkout", "-q", "main")
    (shop / "app.py").write_text("one\ndeux\n")
    git(shop, "commit", "-qam", "French")
    with pytest.raises(subprocess.CalledProcessError):
        git(shop, "merge", "-q", "work")
    change = await found.of_tree(str(shop))
    assert not unified_diff.read(change.text).gaps
    assert "+=======" in change.text
    assert "+zwei" in change.text


@pytest.mark.promise("S5")
async def test_attributes_hide_no_text_from_a_review(shop: Path, found: diff_source.GitChanges) -> None:
    (shop / "logo.bin").write_bytes(b"\0\1\2")
    (shop / ".gitattributes").write_text("*.py -diff\n*.bin diff\n")
    git(shop, "add", ".")
    (shop / "app.py").write_text("one\neval(input())\n")
    git(shop, "commit", "-qam", "Hide it")
    for change in (await found.of_range(str(shop), "HEAD^!"), await found.of_tree(str(shop), base="HEAD~1")):
        assert "+eval(input())" in change.text
        by_path = {file.path: file for file in unified_diff.parse(change.text).files}
        assert not by_path["app.py"].binary


async def test_a_binary_file_too_large_to_be_printed_is_named_and_hides_no_text(
    shop: Path, found: diff_source.GitChanges
) -> None:
    (shop / "photo.raw").write_bytes(bytes(range(256)) * 8_000)
    (shop / ".gitattributes").write_text("*.py -diff\n")
    git(shop, "add", ".")
    (shop / "app.py").write_text("one\nzwei\n")
    small = diff_source.GitChanges(found.git, output_cap=1_000_000)
    change = await small.of_tree(str(shop))
    assert "+zwei" in change.text
    by_path = {file.path: file for file in unified_diff.parse(change.text).files}
    assert by_path["photo.raw"].binary


async def test_a_long_new_file_is_shown_and_one_without_end_refused(shop: Path, found: diff_source.GitChanges) -> None:
    (shop / "long.py").write_text("x = 1\n" * 400_000)
    assert (await found.of_tree(str(shop))).text.count("+x = 1") == 400_000
    small = diff_source.GitChanges(found.git, output_cap=1_000_000)
    with pytest.raises(errors.InputError, match="larger than"):
        await small.of_tree(str(shop))


async def test_settings_that_change_blank_lines_leave_the_form(shop: Path, found: diff_source.GitChanges) -> None:
    (shop / "app.py").write_text("one\n\n\ntwo\n")
    git(shop, "commit", "-qam", "Blank lines")
    git(shop, "config", "diff.suppressBlankEmpty", "true")
    (shop / "app.py").write_text("one\n\n\n2\n")
    change = await found.of_tree(str(shop))
    assert not unified_diff.read(change.text).gaps
    assert files(change) == {"app.py": "modified"}


async def test_a_repository_without_a_checkout_has_ranges_and_no_working_tree(
    shop: Path, found: diff_source.GitChanges, tmp_path: Path
) -> None:
    git(tmp_path, "clone", "-q", "--bare", str(shop), "bare.git")
    assert files(await found.of_range(str(tmp_path / "bare.git"), "HEAD^!")) == {"app.py": "new"}
    with pytest.raises(errors.InputError, match="must be run in a work tree"):
        await found.of_tree(str(tmp_path / "bare.git"))


@pytest.mark.parametrize("mark", ["--assume-unchanged", "--skip-worktree"])
async def test_marks_in_the_index_hide_no_change(shop: Path, found: diff_source.GitChanges, mark: str) -> None:
    (shop / "sta ged.py").write_text("benign\n")
    git(shop, "add", ".")
    git(shop, "update-index", mark, "app.py", "sta ged.py")
    assert files(await found.of_tree(str(shop))) == {"sta ged.py": "new"}
    (shop / "app.py").write_text("one\neval(input())\n")
    (shop / "sta ged.py").write_text("worse than staged\n")
    change = await found.of_tree(str(shop))
    assert files(change) == {"app.py": "modified", "sta ged.py": "new"}
    assert "-two\n+eval(input())" in change.text
    assert "+worse than staged" in change.text
    assert "benign" not in change.text
    assert files(await found.of_tree(str(shop), ["app.py"])) == {"app.py": "modified"}
    assert files(await found.of_tree(str(shop), leave_out=["app.py"])) == {"sta ged.py": "new"}


async def test_a_marked_file_that_is_gone_is_deleted_unless_it_is_only_not_checked_out(
    shop: Path, found: diff_source.GitChanges
) -> None:
    (shop / "sparse.py").write_text("far away\n")
    git(shop, "add", ".")
    git(shop, "commit", "-q", "-m", "More")
    git(shop, "update-index", "--assume-unchanged", "app.py")
    git(shop, "update-index", "--skip-worktree", "sparse.py")
    (shop / "app.py").unlink()
    (shop / "sparse.py").unlink()
    change = await found.of_tree(str(shop))
    assert files(change) == {"app.py": "deleted"}
    assert "-two" in change.text


async def test_more_marked_files_than_are_looked_at_are_an_error(shop: Path, found: diff_source.GitChanges) -> None:
    names = [f"n{number}.py" for number in range(diff_source.MAX_MARKED + 1)]
    for name in names:
        (shop / name).write_text("x\n")
    git(shop, "add", ".")
    git(shop, "update-index", "--assume-unchanged", *names)
    with pytest.raises(errors.InputError, match="take 501 files for unchanged"):
        await found.of_tree(str(shop))
