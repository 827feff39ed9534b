"""Which change a range means: exactly the one that was named, or one error that says what, which value, what next."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from dispatch_mcp import errors
from dispatch_mcp.git import diff_source, git_process
from dispatch_mcp.process import child_environment
from dispatch_mcp.review import review_scope
from dispatch_mcp.text import unified_diff

pytestmark = pytest.mark.anyio


def git(folder: Path, *arguments: str) -> str:
    run = subprocess.run(["git", *arguments], cwd=folder, check=True, capture_output=True, text=True)
    return run.stdout.strip()


def commit(folder: Path, message: str, **files: str) -> str:
    """Writes files, commits them, and returns the commit."""
    for name, text in files.items():
        (folder / f"{name}.py").write_text(text)
    git(folder, "add", "-A")
    git(folder, "commit", "-q", "--allow-empty", "-m", message)
    return git(folder, "rev-parse", "HEAD")


@pytest.fixture
def changes(tmp_path: Path) -> diff_source.GitChanges:
    return diff_source.GitChanges(git_process.Git(tmp_path / "home", child_environment.ChildPolicy(os.environ)))


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    """A history whose files tell of which commit they are: first, second and third on main, two on work, a merge."""
    folder = tmp_path / "shop"
    folder.mkdir()
    git(folder, "init", "-q", "-b", "main")
    commit(folder, "First", first="1\n")
    git(folder, "tag", "light")
    commit(folder, "Second", second="2\n")
    git(folder, "tag", "-a", "v1.0", "-m", "One")
    git(folder, "checkout", "-q", "-b", "work")
    commit(folder, "On work", work_1="w\n")
    commit(folder, "On work again", work_2="w\n")
    git(folder, "branch", "fix/it's-ünïcode")
    git(folder, "checkout", "-q", "main")
    commit(folder, "Third", third="3\n")
    git(folder, "checkout", "-q", "-b", "merged")
    git(folder, "merge", "-q", "--no-ff", "-m", "Merge", "work")
    git(folder, "checkout", "-q", "work")
    return folder


def names(change: review_scope.Change) -> set[str]:
    return {file.path.removesuffix(".py") for file in unified_diff.parse(change.text).files}


WORK = {"work_1", "work_2"}
EXACT: dict[str, set[str]] = {
    "main..work": {"third"} | WORK,
    "main...work": WORK,
    "work...main": {"third"},
    " main...work ": WORK,
    "main ... work": WORK,
    "main": WORK,
    "refs/heads/main": WORK,
    "heads/main": WORK,
    "HEAD~1": {"work_2"},
    "HEAD^": {"work_2"},
    "@~1": {"work_2"},
    "HEAD~1..": {"work_2"},
    "main..": {"third"} | WORK,
    "..main": {"third"} | WORK,
    "...main": {"third"},
    "light": {"second"} | WORK,
    "light..v1.0": {"second"},
    "v1.0": WORK,
    "v1.0^{}..HEAD": WORK,
    "tags/v1.0..HEAD~1": {"work_1"},
    "light^!": {"first"},
    "v1.0^!": {"second"},
    "HEAD^!": {"work_2"},
    "HEAD~1^!": {"work_1"},
    "merged^!": WORK,
    "merged^-": WORK,
    "merged^-1": WORK,
    "merged^-2": {"third"},
    "merged^1..merged": WORK,
    "merged^2..merged": {"third"},
    "fix/it's-ünïcode^!": {"work_2"},
    "main..fix/it's-ünïcode": {"third"} | WORK,
    "HEAD@{0}^!": {"work_2"},
    "HEAD^{/Second}..HEAD~1": {"work_1"},
}


@pytest.mark.slice(3)
@pytest.mark.parametrize("span", EXACT)
async def test_a_range_is_exactly_the_change_that_was_named(
    shop: Path, changes: diff_source.GitChanges, span: str
) -> None:
    change = await changes.of_range(str(shop), span)
    assert names(change) == EXACT[span]
    assert (change.about, change.note) == (f"range {span.strip()}", "")
    assert git(shop, "cat-file", "-t", change.head) == "commit"


async def test_a_commit_is_named_by_as_much_of_its_id_as_tells_it_from_others(
    shop: Path, changes: diff_source.GitChanges
) -> None:
    whole = git(shop, "rev-parse", "v1.0^{commit}")
    for length in (7, 12, 40):
        assert names(await changes.of_range(str(shop), f"{whole[:length]}^!")) == {"second"}


async def test_a_detached_head_is_as_good_as_a_branch(shop: Path, changes: diff_source.GitChanges) -> None:
    git(shop, "checkout", "-q", "--detach", "work~1")
    assert names(await changes.of_range(str(shop), "main")) == {"work_1"}
    assert names(await changes.of_range(str(shop), "HEAD^!")) == {"work_1"}


@pytest.mark.parametrize("span", ["HEAD", "work", "HEAD..HEAD", "..", "...", "HEAD~1...HEAD~1"])
async def test_a_range_in_which_nothing_lies_is_empty_and_says_why(
    shop: Path, changes: diff_source.GitChanges, span: str
) -> None:
    change = await changes.of_range(str(shop), span)
    assert names(change) == set()
    assert "has nothing that" in change.note or "is both ends of it" in change.note
    if "." not in span:
        assert f"{span}^! is what that commit alone changed" in change.note


WRONG: dict[str, tuple[str, str]] = {
    "mian": ("no commit 'mian'", "Did you mean main?"),
    "wrok..main": ("no commit 'wrok'", "Did you mean work?"),
    "v1.1": ("no commit 'v1.1'", "Did you mean v1.0?"),
    "nothing-like-it-at-all": ("no commit", "`git branch -a` and `git tag` list"),
    "HEAD~99": ("'HEAD' has no such ancestor", "HEAD^! is what that commit alone changed"),
    "light^": ("'light' has no such ancestor", "light^! is what"),
    "HEAD^2": ("'HEAD' has no such ancestor", "HEAD^!"),
    "HEAD^-2": ("has 1 parents", "HEAD^! is what"),
    "HEAD:work_1.py": ("no commit, but a file", "Such as main"),
    "main..work..HEAD": ("'main..work..HEAD' is no range", "A range has two ends"),
    "main....work": ("is no range", "A range has two ends"),
    "main work": ("'main work' is no revision", "A..B"),
    "^main": ("'^main' is no revision", "A..B"),
    "main..work -- src/": ("is no revision", "leave the paths out"),
    "-p": ("'-p' is no revision", "Such as main"),
    "--output=pwned": ("is no revision", "Such as main"),
    "main..--output=pwned": ("'--output=pwned' is no revision", "Such as main"),
    "--cached main": ("'--cached main' is no revision", "Such as main"),
    ":/Second": ("':/Second' is no revision", "Such as main"),
    "main\nwork": ("is no revision", "Such as main"),
    "x" * 5_000: ("is no revision", "Such as main"),
    "src/*.py": ("no commit 'src/*.py'", "`git branch -a`"),
    ":(glob)**/*.py": ("is no revision", "Such as main"),
    "/etc/passwd": ("no commit '/etc/passwd'", "`git branch -a`"),
    "'main'": ("no commit", "Did you mean main?"),
}


@pytest.mark.slice(3)
@pytest.mark.parametrize("span", WRONG, ids=lambda span: span[:30])
async def test_what_is_no_range_is_one_error_with_the_value_and_what_to_do(
    shop: Path, changes: diff_source.GitChanges, span: str
) -> None:
    with pytest.raises(errors.InputError) as refusal:
        await changes.of_range(str(shop), span)
    what, hint = WRONG[span]
    assert what in str(refusal.value)
    assert hint in str(refusal.value.hint)
    assert len(str(refusal.value)) < 600
    assert not (shop / "pwned").exists()


async def test_a_name_that_means_two_things_is_not_guessed(shop: Path, changes: diff_source.GitChanges) -> None:
    git(shop, "tag", "both", "main")
    git(shop, "branch", "both", "work")
    with pytest.raises(errors.InputError, match="'both' means more than one thing") as refusal:
        await changes.of_range(str(shop), "both..HEAD")
    assert "heads/both" in str(refusal.value.hint)
    assert names(await changes.of_range(str(shop), "heads/both~1..heads/both")) == {"work_2"}
    assert names(await changes.of_range(str(shop), "tags/both^!")) == {"third"}


async def test_a_branch_that_only_a_remote_has_is_offered(
    shop: Path, changes: diff_source.GitChanges, tmp_path: Path
) -> None:
    git(tmp_path, "clone", "-q", "-b", "main", str(shop), "clone")
    with pytest.raises(errors.InputError) as refusal:
        await changes.of_range(str(tmp_path / "clone"), "work")
    assert "Did you mean origin/work?" in str(refusal.value.hint)
    assert names(await changes.of_range(str(tmp_path / "clone"), "HEAD..origin/work")) == {"third"} | WORK


@pytest.mark.parametrize("span", ["HEAD~1", "HEAD~1..HEAD", "HEAD^!", "HEAD^-", "old...HEAD"])
async def test_what_a_shallow_clone_has_not_is_said_and_never_taken_for_nothing(
    shop: Path, changes: diff_source.GitChanges, tmp_path: Path, span: str
) -> None:
    git(shop, "branch", "old", "light")
    git(tmp_path, "clone", "-q", "--depth=1", "--no-single-branch", f"file://{shop}", "clone")
    with pytest.raises(errors.InputError, match="the clone is shallow") as refusal:
        await changes.of_range(str(tmp_path / "clone"), span.replace("old", "origin/old"))
    assert "git fetch --unshallow" in str(refusal.value.hint)


async def test_histories_that_have_nothing_in_common_are_compared_only_as_they_are(
    shop: Path, changes: diff_source.GitChanges
) -> None:
    git(shop, "checkout", "-q", "--orphan", "apart")
    git(shop, "rm", "-rfq", ".")
    commit(shop, "Apart", apart="a\n")
    with pytest.raises(errors.InputError, match="no commit in common") as refusal:
        await changes.of_range(str(shop), "main")
    assert "A..B" in str(refusal.value.hint)
    assert names(await changes.of_range(str(shop), "light..apart")) == {"first", "apart"}


@pytest.mark.parametrize("kind", ["sha1", "sha256"])
async def test_a_repository_without_a_commit_says_so_and_shows_its_files(
    changes: diff_source.GitChanges, tmp_path: Path, kind: str
) -> None:
    folder = tmp_path / "empty"
    folder.mkdir()
    git(folder, "init", "-q", f"--object-format={kind}")
    (folder / "new.py").write_text("x\n")
    (folder / "staged.py").write_text("y\n")
    git(folder, "add", "staged.py")
    for span in ("HEAD", "main..HEAD", "HEAD^!"):
        with pytest.raises(errors.InputError, match="the repository has none yet"):
            await changes.of_range(str(folder), span)
    assert names(await changes.of_tree(str(folder))) == {"new", "staged"}
    assert names(await changes.of_range(str(folder), "--cached")) == {"staged"}
    commit(folder, "First", new="x\n")
    assert names(await changes.of_range(str(folder), "HEAD^!")) == {"new", "staged"}


@pytest.mark.parametrize("span", ["--cached", "--staged", " --cached "])
async def test_what_is_staged_can_be_reviewed_alone(shop: Path, changes: diff_source.GitChanges, span: str) -> None:
    empty = await changes.of_range(str(shop), span)
    assert (names(empty), empty.about) == (set(), "what is staged")
    assert "git add" in empty.note
    (shop / "first.py").write_text("staged\n")
    git(shop, "add", "first.py")
    (shop / "first.py").write_text("loose\n")
    (shop / "second.py").write_text("loose\n")
    change = await changes.of_range(str(shop), span)
    assert names(change) == {"first"}
    assert "+staged" in change.text
    assert "loose" not in change.text
