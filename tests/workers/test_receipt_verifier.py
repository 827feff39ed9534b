from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import traceback
from collections.abc import Callable, Generator, Mapping
from dataclasses import replace
from pathlib import Path
from types import FrameType
from typing import Any

import anyio
import pytest

from dispatch_mcp import model
from dispatch_mcp.git import git_process
from dispatch_mcp.model import Receipt, WorkerKind, declared_paths, ports, work_order
from dispatch_mcp.process import allowlist, child_environment
from dispatch_mcp.review import rounds
from dispatch_mcp.runs import receipts
from dispatch_mcp.workers import command, receipt_verifier, safe_look, workspace_snapshot

pytestmark = pytest.mark.anyio


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    folder = tmp_path / "workspace"
    folder.mkdir()
    return folder


@pytest.fixture
def repository(workspace: Path) -> Path:
    git(workspace, "init", "-q", "-b", "main")
    write(workspace, "src/a.py", "one")
    write(workspace, "src/b.py", "one")
    write(workspace, ".gitignore", "build/\n")
    commit(workspace)
    return workspace


def git(folder: Path, *arguments: str) -> None:
    identity = ("-c", "user.name=A", "-c", "user.email=a@example.org", "-c", "commit.gpgsign=false")
    subprocess.run(["git", *identity, *arguments], cwd=folder, check=True, capture_output=True)


def commit(folder: Path) -> None:
    git(folder, "add", "-A")
    git(folder, "commit", "-q", "-m", "change")


def write(folder: Path, path: str, text: str) -> None:
    (folder / path).parent.mkdir(parents=True, exist_ok=True)
    (folder / path).write_text(text)


def theirs(*paths: str) -> declared_paths.DeclaredPaths:
    return declared_paths.DeclaredPaths(("another", path) for path in paths)


def work(workspace: Path, *acceptance: str, files: tuple[str, ...] = (), **fields: model.Json) -> work_order.WorkOrder:
    task = model.Task(id="t", do="do it", acceptance=acceptance, files=files, **fields)
    return work_order.WorkOrder("run", task, 1, WorkerKind.HOST, workspace=str(workspace))


def make(
    home: Path, *allowed: list[str], limit_s: float = 20.0, max_files: int = 2_000
) -> receipt_verifier.ReceiptVerifier:
    policy = child_environment.ChildPolicy({"PATH": os.environ["PATH"], "HOME": str(home)})
    state = home / "state"
    commands = command.CommandWorker(allowlist.parse(allowed), state, policy, grace_s=0.2)
    return receipt_verifier.ReceiptVerifier(
        commands, workspace_snapshot.Snapshotter(git_process.Git(state, policy), max_files=max_files), limit_s=limit_s
    )


async def looked(
    found: receipt_verifier.ReceiptVerifier,
    work: work_order.WorkOrder,
    before: Mapping[str, model.Json] | None = None,
    **around: Any,
) -> list[Receipt]:
    with anyio.fail_after(120):
        return list((await found.receipts(work, before or {}, ports.Surroundings(**around))).receipts)


async def noted(found: receipt_verifier.ReceiptVerifier, work: work_order.WorkOrder) -> Mapping[str, model.Json]:
    with anyio.fail_after(120):
        return await found.before(work)


def facts(found: list[Receipt]) -> list[tuple[bool, bool]]:
    return [(receipt.ok, receipt.checked) for receipt in found]


async def test_files_folders_globs_and_absence_are_looked_at(tmp_path: Path, workspace: Path) -> None:
    for path in ("src/a.py", "src/deep/b.py", "docs/c d.md"):
        write(workspace, path, "x")
    good = work(
        workspace, "file:src/a.py", "file:src/deep", "file:docs/", "file:'docs/c d.md'", "glob:src/**/*.py >= 2",
        "absent:gone.py",
    )  # fmt: skip
    bad = work(workspace, "file:src/c.py", "file:src/a.py/", "glob:src/**/*.py >= 3", "glob:src/*.rs", "absent:src")
    assert facts(await looked(make(tmp_path), good)) == [(True, True)] * 6
    assert facts(await looked(make(tmp_path), bad)) == [(False, True)] * 5


async def test_words_are_neither_proven_nor_refuted(tmp_path: Path, workspace: Path) -> None:
    [found] = await looked(make(tmp_path), work(workspace, "is quick"))
    assert (found.kind, found.ok, found.checked, found.criterion) == ("words", False, False, "is quick")


async def test_no_link_leads_a_check_out_of_the_workspace(tmp_path: Path, workspace: Path) -> None:
    write(tmp_path, "outside/secret.py", "x")
    (workspace / "link").symlink_to(tmp_path / "outside")
    (workspace / "one.py").symlink_to(tmp_path / "outside/secret.py")
    asked = work(
        workspace, "file:link/secret.py", "file:one.py", "glob:link/*.py", "glob:**/*.py", "absent:link/other.py"
    )
    found = await looked(make(tmp_path), asked)
    assert not any(receipt.ok for receipt in found)
    assert [receipt.checked for receipt in found] == [False, False, False, True, False]


async def test_a_commands_exit_code_decides_and_its_output_is_told(tmp_path: Path, workspace: Path) -> None:
    write(workspace, "check.sh", "echo 3 tests failed; exit 4")
    found = make(tmp_path, ["true"], ["sh", "*"])
    ok, failed = await looked(found, work(workspace, "command: true", "command: sh check.sh"))
    assert (ok.kind, ok.ok) == ("exit_code", True)
    assert (failed.ok, failed.checked) == (False, True)
    assert "exit code 4" in failed.detail
    assert "3 tests failed" in failed.detail


@pytest.mark.parametrize(
    ("body", "proves"),
    [
        ("self.assertTrue(True)", True),
        ("self.skipTest('later')", False),
        ("raise __import__('unittest').SkipTest('later')", False),
        ("__import__('os')._exit(0)", False),
    ],
)
async def test_a_runner_whose_tests_were_all_skipped_or_never_ended_proves_nothing(
    tmp_path: Path, workspace: Path, body: str, *, proves: bool
) -> None:
    write(workspace, "test_a.py", f"import unittest\nclass A(unittest.TestCase):\n def test_a(self): {body}\n")
    verifier = make(tmp_path, ["python", "-m", "unittest", "**"])
    [receipt] = await looked(verifier, work(workspace, "command: python -m unittest test_a"))
    assert (receipt.ok, "proves nothing" in receipt.detail) == (proves, not proves), receipt


@pytest.mark.promise("S5")
@pytest.mark.promise("S7")
async def test_acceptance_runs_nothing_that_the_user_did_not_allow(tmp_path: Path, workspace: Path) -> None:
    asked = work(
        workspace, "command: touch owned", "command: sh -c 'touch owned'", "command: git -c alias.x=!touch x",
        "command: ./touch owned", "command: env touch owned",
    )  # fmt: skip
    found = await looked(make(tmp_path), asked)
    assert facts(found) == [(False, False)] * 5
    assert all("is not on the user's allow-list" in receipt.detail for receipt in found)
    assert not (workspace / "owned").exists()


async def test_checks_are_bounded_together(tmp_path: Path, workspace: Path) -> None:
    write(workspace, "a", "x")
    found = make(tmp_path, ["sleep", "*"], limit_s=0.3)
    slow, late = await looked(found, work(workspace, "command: sleep 900", "command: sleep 900"))
    assert facts([slow, late]) == [(False, False)] * 2


async def test_a_program_that_is_not_there_proves_nothing(tmp_path: Path, workspace: Path) -> None:
    [found] = await looked(make(tmp_path, ["no-such-program"]), work(workspace, "command: no-such-program"))
    assert (found.ok, found.checked) == (False, False)


async def test_what_was_declared_and_changed_is_told_from_the_rest(tmp_path: Path, repository: Path) -> None:
    found = make(tmp_path)
    write(repository, "dirty.txt", "before")
    asked = work(repository, "diff", "diff:src/new/**", files=("src/a.py", "src/new/", "src/b.py"))
    before = await noted(found, asked)
    write(repository, "src/a.py", "two")
    write(repository, "src/new/c.py", "new")
    write(repository, "dirty.txt", "after")
    write(repository, "theirs.txt", "x")
    write(repository, "build/ignored.o", "x")
    diff, narrow, declared, strange = await looked(found, asked, before, active=theirs("theirs.txt"))
    assert (diff.ok, narrow.ok, declared.ok) == (True, True, True)
    assert declared.detail == "changed `src/a.py`, `src/new/c.py`; untouched: `src/b.py`"
    assert strange.kind == "touched"
    assert strange.detail.endswith(": `dirty.txt`")


@pytest.mark.parametrize("edit", ["nothing", "dirty file left alone", "committed as it was"])
async def test_a_write_task_that_changed_nothing_has_no_diff(tmp_path: Path, repository: Path, edit: str) -> None:
    found = make(tmp_path)
    if edit != "nothing":
        write(repository, "src/a.py", "changed before the task")
    asked = work(repository, "diff", files=("src/**",))
    before = await noted(found, asked)
    if edit == "committed as it was":
        commit(repository)
    diff, declared = await looked(found, asked, before)
    assert (diff.ok, diff.checked, declared.ok, declared.checked) == (False, True, False, True)


@pytest.mark.parametrize("how", ["edited", "committed", "deleted", "renamed", "restored", "mode and link"])
async def test_every_kind_of_change_is_seen(tmp_path: Path, repository: Path, how: str) -> None:
    found = make(tmp_path)
    if how == "restored":
        write(repository, "src/a.py", "dirty before")
    asked = work(repository, files=("src/a.py",))
    before = await noted(found, asked)
    target = repository / "src/a.py"
    if how in ("edited", "committed"):
        target.write_text("two")
    if how == "committed":
        commit(repository)
    if how == "renamed":
        git(repository, "mv", "src/a.py", "src/z.py")
    if how == "restored":
        git(repository, "checkout", "src/a.py")
    if how in ("deleted", "mode and link"):
        target.unlink()
    if how == "mode and link":
        target.symlink_to("b.py")
    declared, *_ = await looked(found, asked, before)
    verb = {"deleted": "deleted", "renamed": "deleted", "mode and link": "made a link of"}.get(how, "changed")
    assert declared.ok
    assert declared.detail.startswith(f"{verb} `src/a.py`")


HOLLOW: dict[str, Callable[[Path], object]] = {
    "emptied": lambda path: path.write_text(""),
    "emptied but for blanks": lambda path: path.write_text(" \n\n"),
    "deleted": lambda path: path.unlink(),
    "made a link of": lambda path: (path.unlink(), path.symlink_to("b.txt")),
    "changed only the mode of": lambda path: path.chmod(0o755),
    "changed only blanks or line ends of": lambda path: path.write_bytes(b"one\r\ntwo\r\n"),
    "changed only blanks or line ends of, too": lambda path: path.write_text("one\ntwo\n\n"),
    "put what is no file in place of": lambda path: (path.unlink(), os.mkfifo(path)),
}
"""Changes that show no work, by how a receipt begins that speaks of them."""


@pytest.mark.slice(3)
@pytest.mark.parametrize("place", ["no git", "committed", "changed before"])
@pytest.mark.parametrize("declared", ["src/a.txt", "src/"])
@pytest.mark.parametrize("change", HOLLOW)
async def test_a_change_that_shows_no_work_is_named_and_proves_nothing(
    tmp_path: Path, workspace: Path, place: str, declared: str, change: str
) -> None:
    write(workspace, "src/a.txt", "one\ntwo\n" if place != "changed before" else "zero")
    write(workspace, "src/b.txt", "three\n")
    if place != "no git":
        git(workspace, "init", "-q")
        commit(workspace)
    write(workspace, "src/a.txt", "one\ntwo\n")
    found, asked = make(tmp_path), work(workspace, "diff", "diff:src/", files=(declared,))
    before = await noted(found, asked)
    HOLLOW[change](workspace / "src/a.txt")
    diff, narrow, seen, *_ = await looked(found, asked, before)
    assert facts([diff, narrow, seen]) == [(False, False), (False, False), (True, False)]
    verb = change.removesuffix(", too").removesuffix(" but for blanks")
    assert all(receipt.detail.startswith(f"{verb} `src/a.txt`, which proves no work") for receipt in (diff, seen))
    write(workspace, "src/b.txt", "a real edit\n")
    assert (await looked(found, asked, before))[1].ok


async def test_a_removal_that_was_asked_for_is_work(tmp_path: Path, repository: Path) -> None:
    found, asked = make(tmp_path), work(repository, "absent:src/a.py", "diff", files=("src/a.py", "src/b.py"))
    before = await noted(found, asked)
    (repository / "src/b.py").unlink()
    assert not (await looked(found, asked, before))[1].ok
    (repository / "src/a.py").unlink()
    diff = (await looked(found, asked, before))[1]
    assert (diff.ok, diff.detail) == (True, "deleted `src/a.py`, `src/b.py`")


async def test_more_changed_files_than_can_be_compared_prove_nothing_by_themselves(
    tmp_path: Path, repository: Path
) -> None:
    names = [f"src/f{at:04}.txt" for at in range(workspace_snapshot.MAX_COMPARED + 3)]
    for name in names:
        write(repository, name, "one\n")
    commit(repository)
    found, asked = make(tmp_path), work(repository, "diff", files=("src/*.txt",))
    before = await noted(found, asked)
    for name in names:
        write(repository, name, "one\r\n")
    [diff, _] = await looked(found, asked, before)
    assert facts([diff]) == [(False, False)]
    assert "changed, too many to compare: `src/f0256.txt`" in diff.detail
    write(repository, names[5], "two\n")
    assert (await looked(found, asked, before))[0].ok


async def test_a_snapshot_of_an_earlier_build_is_compared_as_it_was(tmp_path: Path, repository: Path) -> None:
    found, asked = make(tmp_path), work(repository, "diff", files=("src/a.py", "src/b.py"))
    look = dict((await noted(found, asked))[ports.LOOK])
    look["files"] = {path: state.partition(" ~")[0] for path, state in look["files"].items()}
    assert (await looked(found, asked, {ports.LOOK: look}))[0].detail == "nothing changed"
    write(repository, "src/a.py", "two")
    assert (await looked(found, asked, {ports.LOOK: look}))[0].detail == "changed `src/a.py`"


async def test_a_first_commit_is_a_change(tmp_path: Path, workspace: Path) -> None:
    git(workspace, "init", "-q")
    found, asked = make(tmp_path), work(workspace, files=("a.py",))
    before = await noted(found, asked)
    write(workspace, "a.py", "x")
    commit(workspace)
    [declared] = await looked(found, asked, before)
    assert declared.ok


async def test_a_workspace_below_the_top_of_its_repository_is_its_own_world(tmp_path: Path, repository: Path) -> None:
    found, asked = make(tmp_path), work(repository / "src", files=("a.py",))
    before = await noted(found, asked)
    write(repository, "src/a.py", "two")
    write(repository, "above.txt", "x")
    [declared] = await looked(found, asked, before)
    assert declared.detail == "changed `a.py`"


async def test_without_git_declared_files_are_compared_and_others_are_not_claimed(
    tmp_path: Path, workspace: Path
) -> None:
    write(workspace, "src/a.py", "one")
    found, asked = make(tmp_path), work(workspace, files=("src/", "new.py", "same.py"))
    before = await noted(found, asked)
    write(workspace, "src/a.py", "two")
    write(workspace, "new.py", "x")
    declared, strange = await looked(found, asked, before)
    assert declared.detail == "changed `new.py`, `src/a.py`; untouched: `same.py`"
    assert (strange.ok, strange.checked) == (False, False)


async def test_attempts_that_begin_together_keep_what_they_saw_alike_in_one_place(
    tmp_path: Path, repository: Path
) -> None:
    for number in range(20):
        write(repository, f"src/edit{number}.py", "x")
    found, beats = make(tmp_path), dict[str, Mapping[str, model.Json]]()

    async def begin(path: str) -> None:
        beats[path] = await noted(found, work(repository, files=(path,)))

    async with anyio.create_task_group() as group:
        for path in ("src/one.py", "src/two.py", "src/edit3.py"):
            group.start_soon(begin, path)
    looks = {path: beat[ports.LOOK] for path, beat in beats.items()}
    common = [look["common"] for look in looks.values()]
    assert common[0] is common[1] is common[2]
    assert {path: set(look["files"]) for path, look in looks.items()} == {
        "src/one.py": {"src/one.py"},
        "src/two.py": {"src/two.py"},
        "src/edit3.py": set(),
    }
    snapshots = [workspace_snapshot.from_json(look) for look in looks.values()]
    assert all(snapshot.files.items() >= common[0].items() for snapshot in snapshots)
    assert [snapshot.to_json() for snapshot in snapshots] == list(looks.values())
    write(repository, "src/edit7.py", "y")
    policy = child_environment.ChildPolicy({"PATH": os.environ["PATH"], "HOME": str(tmp_path)})
    snapshotter = workspace_snapshot.Snapshotter(git_process.Git(tmp_path / "state", policy))
    assert await snapshotter.changed_since(str(repository), (), looks["src/one.py"]) == ["src/edit7.py"]


@pytest.mark.parametrize("part", ["common", "judges"])
async def test_a_snapshot_of_which_a_part_is_lost_proves_nothing(tmp_path: Path, repository: Path, part: str) -> None:
    verifier, order = make(tmp_path), work(repository, files=("src/one.py",))
    before = dict(await noted(verifier, order))
    before[ports.LOOK] = {**before[ports.LOOK], part: "0" * 64}
    write(repository, "src/one.py", "x")
    [receipt] = await looked(verifier, order, before)
    assert (receipt.ok, receipt.checked) == (False, False)
    assert "not stored any more" in receipt.detail


async def test_a_later_attempt_goes_on_with_the_first_snapshot(tmp_path: Path, repository: Path) -> None:
    found, asked = make(tmp_path), work(repository, files=("src/a.py",))
    first = await noted(found, asked)
    write(repository, "src/a.py", "two")
    second = await noted(found, replace(asked, attempt=2, last_beat={"session": "x", **first}))
    assert second == first


async def test_an_attempt_before_which_nobody_could_look_is_not_refuted_for_finding_the_work_done(
    tmp_path: Path, repository: Path
) -> None:
    found, asked = make(tmp_path), replace(work(repository, "diff", files=("src/a.py",)), attempt=2)
    diff, declared = await looked(found, asked, await noted(found, asked))
    assert facts([diff, declared]) == [(False, False)] * 2
    assert "first attempt" in declared.detail


async def test_a_file_that_a_later_version_of_the_task_declares_is_not_taken_for_a_change(
    tmp_path: Path, repository: Path
) -> None:
    found, asked = make(tmp_path), work(repository, files=("src/a.py",))
    before = await noted(found, asked)
    [declared] = await looked(found, work(repository, files=("src/a.py", "src/b.py")), before)
    assert (declared.ok, declared.checked) == (False, True)


@pytest.mark.parametrize("declared", ["build/", "build/**/*.js", "build/out.js"])
async def test_files_that_git_ignores_count_where_the_task_declares_them(
    tmp_path: Path, repository: Path, declared: str
) -> None:
    write(repository, "build/out.js", "old")
    found, asked = make(tmp_path), work(repository, files=(declared,))
    before = await noted(found, asked)
    assert not (await looked(found, asked, before))[0].ok
    write(repository, "build/out.js", "new")
    assert (await looked(found, asked, before))[0].detail == "changed `build/out.js`"
    (repository / "build/out.js").unlink()
    assert (await looked(found, asked, before))[0].detail.startswith("deleted `build/out.js`")


@pytest.mark.parametrize("ignored", [True, False])
async def test_caches_that_tests_leave_in_a_declared_folder_are_no_change(
    tmp_path: Path, repository: Path, *, ignored: bool
) -> None:
    if ignored:
        write(repository, ".gitignore", "__pycache__/\n")
        commit(repository)
    found, asked = make(tmp_path), work(repository, files=("src/",))
    before = await noted(found, asked)
    write(repository, "src/__pycache__/a.cpython-311.pyc", "x")
    [declared, *_] = await looked(found, asked, before)
    assert (declared.ok, declared.checked) == (False, True)


async def test_more_ignored_files_than_can_be_looked_at_refute_nothing(tmp_path: Path, repository: Path) -> None:
    for at in range(4):
        write(repository, f"build/{at}.js", "x")
    found, asked = make(tmp_path, max_files=6), work(repository, files=("build/",))
    [declared] = await looked(found, asked, await noted(found, asked))
    assert (declared.ok, declared.checked) == (False, False)


async def test_a_program_that_was_made_executable_has_changed(tmp_path: Path, repository: Path) -> None:
    found, asked = make(tmp_path), work(repository, files=("src/a.py",))
    before = await noted(found, asked)
    (repository / "src/a.py").chmod(0o755)
    assert (await looked(found, asked, before))[0].ok


async def test_a_declared_link_changes_with_the_file_that_it_leads_to_and_no_link_is_followed_outside(
    tmp_path: Path, repository: Path
) -> None:
    write(tmp_path, "outside.txt", "one")
    (repository / "inner").symlink_to("src/a.py")
    (repository / "outer").symlink_to(tmp_path / "outside.txt")
    commit(repository)
    found = make(tmp_path)
    inner, outer = (work(repository, files=(name,)) for name in ("inner", "outer"))
    before = {name: await noted(found, asked) for name, asked in (("inner", inner), ("outer", outer))}
    write(repository, "src/a.py", "two")
    write(tmp_path, "outside.txt", "two")
    assert (await looked(found, inner, before["inner"]))[0].ok
    assert not (await looked(found, outer, before["outer"]))[0].ok


async def test_a_declared_folder_that_is_a_repository_of_its_own_is_not_refuted(
    tmp_path: Path, repository: Path
) -> None:
    inner = repository / "vendor"
    inner.mkdir()
    git(inner, "init", "-q")
    write(inner, "a.c", "one")
    found, asked = make(tmp_path), work(repository, files=("vendor/**",))
    before = await noted(found, asked)
    write(inner, "a.c", "two")
    [declared] = await looked(found, asked, before)
    assert (declared.ok, declared.checked) == (False, False)


@pytest.mark.parametrize(
    ("stray", "declares", "refuted"),
    [
        ("src/a.py", (), False),
        ("src/a.py", ("src/**",), True),
        ("src/b.py", (), True),
    ],
    ids=["a stray change", "the declared work of another task", "a change elsewhere"],
)
async def test_work_that_another_task_did_by_the_way_refutes_nobody_who_finds_it_done(
    tmp_path: Path, repository: Path, stray: str, declares: tuple[str, ...], *, refuted: bool
) -> None:
    found, asked = make(tmp_path), work(repository, "diff", files=("src/a.py",))
    first = await noted(found, work(repository, files=("CHANGES.md",)))
    write(repository, stray, "two")
    before = await noted(found, asked)

    async def first_look() -> Mapping[str, model.Json]:
        return first

    diff, declared = await looked(found, asked, before, active=theirs(*declares), first_look=first_look)
    assert facts([diff, declared]) == [(False, refuted)] * 2


async def test_whoever_mends_findings_may_leave_one_that_is_wrong(tmp_path: Path, repository: Path) -> None:
    asked = work(repository, files=("src/a.py",), inputs={rounds.MEND_INPUT: "a.py:1 is wrong"})
    mend = replace(asked, task=asked.task.model_copy(update={"goal": rounds.MEND_GOAL}))
    found = make(tmp_path)
    assert facts(await looked(found, asked, await noted(found, asked))) == [(False, True)]
    assert facts(await looked(found, mend, await noted(found, mend))) == [(False, False)]


async def test_a_claim_of_files_that_are_as_they_were_or_anothers_is_told(tmp_path: Path, repository: Path) -> None:
    found, asked = make(tmp_path), work(repository, files=("src/a.py", "src/b.py"))
    before = await noted(found, asked)
    write(repository, "src/a.py", "changed by whomever")
    for claims, lies in (
        (("src/a.py",), False),
        (("src/b.py",), True),
        (("docs/b.md",), True),
        (("src/b.py", "docs/b.md"), True),
        (("src/b.py", "src/a.py"), False),
        (("src/b.py", "somewhere else"), False),
    ):
        receipts = await looked(found, asked, before, claims=claims, declarations=theirs("docs/b.md"))
        assert [receipt.kind for receipt in receipts] == ["diff", *(["claim"] if lies else [])]
        assert all(not receipt.ok and receipt.checked for receipt in receipts if receipt.kind == "claim")


@pytest.mark.parametrize(
    "claim", ["I rewrote the parser " * 15, "nul\0here", "\ud800.py", "x" * 5_000, "{a,b}" * 60, "[", "**/*"]
)
async def test_whatever_a_worker_says_it_changed_hides_no_refutation(
    tmp_path: Path, repository: Path, claim: str
) -> None:
    asked = work(repository, "file:missing.py", "file:src/a.py", files=("src/b.py",))
    verifier = make(tmp_path)
    before = await noted(verifier, asked)
    receipts = await looked(verifier, asked, before, claims=(claim,))
    assert [(receipt.ok, receipt.checked) for receipt in receipts][:3] == [(False, True), (True, True), (False, True)]


async def test_too_much_is_not_measured_and_says_so(tmp_path: Path, repository: Path) -> None:
    for at in range(5):
        write(repository, f"new/{at}", "x")
    found, asked = make(tmp_path, max_files=3), work(repository, "diff", files=("new/",))
    diff, declared = await looked(found, asked, await noted(found, asked))
    assert facts([diff, declared]) == [(False, False)] * 2
    assert "more than 3 files" in declared.detail


async def test_a_report_without_a_snapshot_measures_no_diff(tmp_path: Path, repository: Path) -> None:
    [declared] = await looked(make(tmp_path), work(repository, files=("src/a.py",)))
    assert (declared.ok, declared.checked) == (False, False)


async def test_of_tasks_that_declare_nothing_only_what_holds_is_noted_and_no_command_is_run(
    tmp_path: Path, repository: Path
) -> None:
    found = make(tmp_path, ["touch", "*"])
    asked = work(repository, "file:a", "file:src/a.py", "is quick")
    assert [*await noted(found, asked)] == [ports.HELD]
    asked = work(repository, "file:a", "file:src/a.py", "command: touch owned", "is quick")
    before = await noted(found, asked)
    assert [*before] == [ports.HELD, ports.LOOK]  # the look says later what a command may owe to the work
    assert [*dict(before[ports.HELD])["standing"]] == ["file:src/a.py"]
    assert not (repository / "owned").exists()


HELD_BEFORE = ("file:src/a.py", "file:src/", "absent:none", "glob:src/*.py >= 2")


async def proof_of(found: receipt_verifier.ReceiptVerifier, order: work_order.WorkOrder, *edits: str) -> model.Outcome:
    """Returns a claim of success as the receipts judge it, after each of the files has got another line."""
    before = await noted(found, order)
    for path in edits:
        write(Path(order.workspace), path, "another")
    claim = model.Outcome(state=model.AttemptState.SUCCEEDED, unverified=True)
    return receipts.judge(claim, await looked(found, order, before))


@pytest.mark.parametrize("criterion", HELD_BEFORE)
async def test_what_held_before_the_first_attempt_proves_nothing_and_says_so(
    tmp_path: Path, repository: Path, criterion: str
) -> None:
    outcome = await proof_of(make(tmp_path), work(repository, criterion), "other.txt")
    assert (outcome.state, outcome.unverified) == (model.AttemptState.SUCCEEDED, True)
    [doubt] = receipts.doubts(outcome)
    assert doubt.startswith(f"`{criterion}`: ")
    assert doubt.endswith(receipts.EARLIER)


@pytest.mark.parametrize("criterion", HELD_BEFORE)
async def test_what_held_before_counts_beside_a_criterion_that_did_not_or_an_edit_of_a_declared_file(
    tmp_path: Path, repository: Path, criterion: str
) -> None:
    beside = await proof_of(make(tmp_path), work(repository, criterion, "file:new.txt"), "new.txt")
    declared = await proof_of(make(tmp_path), work(repository, criterion, files=("src/b.py",)), "src/b.py")
    assert not beside.unverified
    assert not declared.unverified


async def test_a_file_that_stood_before_and_was_edited_since_proves_the_work(tmp_path: Path, repository: Path) -> None:
    assert not (await proof_of(make(tmp_path), work(repository, "file:src/a.py"), "src/a.py")).unverified


async def test_a_later_attempt_is_held_to_what_held_before_the_first_one(tmp_path: Path, repository: Path) -> None:
    found, order = make(tmp_path), work(repository, "file:new.txt")
    before = await noted(found, order)
    write(repository, "new.txt", "by the first attempt")
    again = replace(order, attempt=2, last_beat=before)
    assert await noted(found, again) == before
    assert [receipt.earlier for receipt in await looked(found, again, await noted(found, again))] == [False]
    assert await noted(found, replace(order, attempt=2)) == {}, "nobody had looked"


@pytest.mark.parametrize("acceptance", [("file:src/new/",), ("diff",), ()])
async def test_a_declared_folder_that_was_made_is_a_change_even_if_it_is_empty(
    tmp_path: Path, repository: Path, acceptance: tuple[str, ...]
) -> None:
    found, order = make(tmp_path), work(repository, *acceptance, files=("src/new/",))
    before = await noted(found, order)
    idle = await looked(found, order, before)
    (repository / "src/new").mkdir()
    receipts_now = await looked(found, order, before)
    assert any(map(receipts.is_refuted, idle))
    assert not any(map(receipts.is_refuted, receipts_now))
    assert "made the folder `src/new`" in [receipt.detail for receipt in receipts_now]


async def test_a_declared_folder_that_stood_before_is_not_made(tmp_path: Path, repository: Path) -> None:
    found, order = make(tmp_path), work(repository, "file:src/", files=("src/",))
    assert any(map(receipts.is_refuted, await looked(found, order, await noted(found, order))))


async def test_what_changes_where_git_keeps_its_own_is_no_change_of_a_declared_file(
    tmp_path: Path, repository: Path
) -> None:
    (repository / "meta").symlink_to(".git/info", target_is_directory=True)
    found, order = make(tmp_path), work(repository, "diff", files=(".git/made", "meta/exclude"))
    before = await noted(found, order)
    write(repository, ".git/made", "x")
    write(repository, ".git/info/exclude", "another")
    assert not any(receipt.ok for receipt in await looked(found, order, before))


async def test_a_simulated_attempt_is_never_checked(tmp_path: Path, workspace: Path) -> None:
    asked = work(workspace, "command: touch owned", "file:a", files=("a",))
    simulated = replace(asked, worker=WorkerKind.SCRIPTED)
    found = make(tmp_path, ["touch", "*"])
    assert await noted(found, simulated) == {}
    assert [receipt.kind for receipt in await looked(found, simulated)] == ["simulated"] * 2
    assert not (workspace / "owned").exists()


async def test_work_in_a_worktree_of_its_own_is_not_judged_from_here(tmp_path: Path, workspace: Path) -> None:
    [found] = await looked(make(tmp_path), work(workspace, "file:a", files=("a",), isolation="worktree"))
    assert (found.ok, found.checked) == (False, False)


async def test_a_repository_of_hostile_settings_runs_no_program(tmp_path: Path, repository: Path) -> None:
    hook = repository / ".git/hooks/fsmonitor"
    hook.parent.mkdir(exist_ok=True)
    hook.write_text(f"#!/bin/sh\ntouch {tmp_path}/owned\n")
    hook.chmod(0o755)
    git(repository, "config", "core.fsmonitor", str(hook))
    found, asked = make(tmp_path), work(repository, files=("src/a.py",))
    await looked(found, asked, await noted(found, asked))
    assert not (tmp_path / "owned").exists()


async def test_files_that_are_as_an_earlier_look_found_them_are_told_from_those_that_are_not(
    repository: Path, tmp_path: Path
) -> None:
    write(repository, "src/a.py", "mine")
    write(repository, "src/new.py", "mine")
    write(repository, "src/b.py", "mine too")
    verifier = make(tmp_path)
    look = (await verifier.before(work(repository, files=("src/*.py", "src/later.py"))))[ports.LOOK]
    write(repository, "src/b.py", "the work's")
    (repository / "src/a.py").chmod(0o755)
    policy = child_environment.ChildPolicy({"PATH": os.environ["PATH"], "HOME": str(tmp_path)})
    snapshotter = workspace_snapshot.Snapshotter(git_process.Git(tmp_path / "state", policy))
    assert set(await snapshotter.unchanged(str(repository), look)) == {"src/new.py", "src/later.py"}
    assert await snapshotter.unchanged(str(repository), None) == []


async def test_a_committed_file_has_the_state_that_it_had_on_the_disk(repository: Path, tmp_path: Path) -> None:
    contents = (b"", b"\n", b"one", b"one\n\ntwo", b"blob 3\nabc\n", b"\0\xff\n\0", b"def test_a():\n    assert a\n")
    for at, content in enumerate(contents):
        (repository / f"test_{at}.py").write_bytes(content)
    (repository / "link").symlink_to("missing")
    (repository / "test_2.py").chmod(0o755)
    commit(repository)
    paths = [*(f"test_{at}.py" for at in range(len(contents))), "link"]
    states = safe_look.states(str(repository), paths)
    policy = child_environment.ChildPolicy({"PATH": os.environ["PATH"], "HOME": str(tmp_path)})
    snapshotter = workspace_snapshot.Snapshotter(git_process.Git(tmp_path / "state", policy))
    before = await snapshotter.take(str(repository), ())
    for path in paths:
        (repository / path).unlink()
    now = await snapshotter.take(str(repository), ())
    fates = await snapshotter.fates(str(repository), paths, before, now)
    assert {path: fate.before for path, fate in fates.items()} == states


@pytest.mark.parametrize(
    ("entries", "path", "is_new"),
    [
        (("src/a.py",), "src/a.py", False),
        (("src/*.py",), "src/a.py", False),
        (("src",), "src/a.py", False),
        (("src/new.py", "src/a.py"), "src/new.py", True),
        (("src/**",), "src/deep/new.py", True),
        (("gone.log",), "gone.log", True),
    ],
)
@pytest.mark.parametrize("declared", [True, False])
async def test_work_is_undone_once_nothing_of_it_differs_from_the_look_before_it(
    repository: Path, tmp_path: Path, entries: tuple[str, ...], path: str, *, is_new: bool, declared: bool
) -> None:
    write(repository, ".git/info/exclude", "*.log")
    before = "" if is_new else (repository / path).read_text()
    look = (await make(tmp_path).before(work(repository, files=entries if declared else ("src/b.py",))))[ports.LOOK]
    policy = child_environment.ChildPolicy({"PATH": os.environ["PATH"], "HOME": str(tmp_path)})
    snapshotter = workspace_snapshot.Snapshotter(git_process.Git(tmp_path / "state", policy))
    (repository / path).parent.mkdir(exist_ok=True)
    (repository / path).write_text("the work's")
    assert not await snapshotter.is_undone(str(repository), entries, look)
    (repository / path).unlink() if is_new else (repository / path).write_text(before)
    assert await snapshotter.is_undone(str(repository), entries, look)


async def test_nobody_says_of_what_was_not_looked_at_that_it_is_undone(repository: Path, tmp_path: Path) -> None:
    asked = work(repository, files=("made", "src/a.py"))
    look = (await make(tmp_path).before(asked))[ports.LOOK]
    policy = child_environment.ChildPolicy({"PATH": os.environ["PATH"], "HOME": str(tmp_path)})
    snapshotter = workspace_snapshot.Snapshotter(git_process.Git(tmp_path / "state", policy))
    assert await snapshotter.is_undone(str(repository), ("src/a.py",), look)
    assert not await snapshotter.is_undone(str(repository), ("src/a.py",), None)
    assert not await snapshotter.is_undone(str(repository), ("src/a.py", "../other.py"), look)
    (repository / "made").mkdir()
    assert not await snapshotter.is_undone(str(repository), ("made",), look), "a folder is work that git does not tell"


TESTS = "def test_a():\n    assert a\n\n\ndef test_b():\n    assert b\n"


async def command_receipt(
    tmp_path: Path, repository: Path, edits: Mapping[str, str | None], *files: str, do: str = "Mend it"
) -> Receipt:
    """Returns the receipt of a command that ends well after edits; a text of None removes the file."""
    write(repository, "tests/test_a.py", TESTS)
    write(repository, "Makefile", "test:\n\tpytest\n")
    commit(repository)
    found = make(tmp_path, ["true", "**"])
    asked = work(repository, "command: true src/b.py src", files=files)
    asked = replace(asked, task=asked.task.model_copy(update={"goal": do}))
    before = await noted(found, asked)
    for path, text in edits.items():
        if text is None:
            (repository / path).unlink()
        else:
            write(repository, path, text)
    return (await looked(found, asked, before))[0]


@pytest.mark.slice(3)
@pytest.mark.parametrize("files", [("src/a.py",), ("src/a.py", "tests/", "Makefile", "src/b.py")])
@pytest.mark.parametrize(
    "tests",
    [
        {"tests/test_a.py": None},
        {"tests/test_a.py": ""},
        {"tests/test_a.py": "def test_a():\n    assert a\n"},
        {"tests/test_a.py": TESTS.replace("def test_b", "# def test_b").replace("    assert b", "#   assert b")},
        {"tests/test_a.py": f'"""\n{TESTS}"""\n'},
        {"tests/test_a.py": TESTS.replace("    assert b", "    return\n    assert b")},
        {"tests/test_a.py": TESTS.replace("assert b", "assert b or True")},
        {"tests/test_a.py": f"import pytest\n\npytestmark = pytest.mark.skip\n{TESTS}"},
        {"tests/conftest.py": 'collect_ignore = ["test_a.py"]\n'},
    ],
    ids=["deleted", "emptied", "shorter", "commented out", "quoted", "returned", "or true", "skipped", "ignored"],
)
async def test_a_command_proves_nothing_where_the_work_took_checks_out_of_tests(
    tmp_path: Path, repository: Path, tests: dict[str, str | None], files: tuple[str, ...]
) -> None:
    receipt = await command_receipt(tmp_path, repository, {"src/a.py": "two", **tests}, *files)
    assert (receipt.ok, receipt.checked) == (False, False), receipt.detail
    assert next(iter(tests)) in receipt.detail


@pytest.mark.parametrize(
    "tests",
    [
        {"tests/test_a.py": f"{TESTS}\n\ndef test_c():\n    assert c\n"},
        {"tests/test_a.py": TESTS.replace("assert b", "assert b == 2")},
        {"tests/test_a.py": "def test_a():\n    assert a\n", "tests/test_b.py": "def test_b():\n    assert b\n"},
        {"tests/test_a.py": None, "tests/unit/test_a.py": TESTS},
    ],
    ids=["more", "other", "divided", "moved"],
)
async def test_tests_that_are_as_many_as_before_count(
    tmp_path: Path, repository: Path, tests: dict[str, str | None]
) -> None:
    receipt = await command_receipt(tmp_path, repository, {"src/a.py": "two", **tests}, "src/a.py")
    assert (receipt.ok, receipt.checked, receipt.detail) == (True, True, "ended with exit code 0")


@pytest.mark.slice(3)
@pytest.mark.parametrize(
    "recipe", ["Makefile", "tests/conftest.py", "package.json", "pyproject.toml", "src/b.py", "src.py"]
)
@pytest.mark.parametrize("declared", [True, False])
async def test_a_command_proves_nothing_where_the_work_changed_what_decides_it_without_declaring_that(
    tmp_path: Path, repository: Path, recipe: str, *, declared: bool
) -> None:
    files = ("src/a.py", "**", recipe) if declared else ("src/a.py", "tests/", "**")  # a pattern names nothing
    receipt = await command_receipt(tmp_path, repository, {"src/a.py": "two", recipe: "three"}, *files)
    assert receipt.ok is receipt.checked is declared
    assert f"`{recipe}`" in receipt.detail


@pytest.mark.parametrize(
    ("do", "earlier"),
    [
        ("Check whether it works", False),
        ("Mend it", True),
        ("Check whether it works, and fix it", True),
        ("Find the fault and mend it", True),
    ],
)
async def test_a_command_alone_proves_only_a_task_that_looks(
    tmp_path: Path, repository: Path, do: str, *, earlier: bool
) -> None:
    receipt = await command_receipt(tmp_path, repository, {}, do=do)
    assert (receipt.ok, receipt.earlier) == (True, earlier)
    refusal = "Claimed to be done, but the receipts say otherwise:\n- `command: true`: ended with exit code 1"
    asked = replace(work(repository, "command: true"), last_error=refusal)
    [again] = await looked(make(tmp_path, ["true"]), asked)
    assert not again.earlier  # an attempt was refused for it


@pytest.mark.parametrize(
    "words", ["I could not run `command: true`", "Broken:\n- `command: true`: no runner", "It said: `true`"]
)
async def test_a_worker_that_names_a_command_in_its_own_failure_has_not_shown_it_to_fail(
    tmp_path: Path, repository: Path, words: str
) -> None:
    asked = replace(work(repository, "command: true"), last_error=words)
    [receipt] = await looked(make(tmp_path, ["true"]), asked)
    assert (receipt.ok, receipt.earlier) == (True, True)


@pytest.mark.parametrize(
    "criterion", ["file:door/HEAD", "file:door/", "absent:door/none", "glob:door/*", "glob:**/HEAD"]
)
async def test_what_git_keeps_for_itself_proves_nothing_also_behind_a_link(
    tmp_path: Path, repository: Path, criterion: str
) -> None:
    (repository / "door").symlink_to(".git")
    [receipt] = await looked(make(tmp_path), work(repository, criterion))
    assert not receipt.ok


LOOKS = frozenset({"stat", "lstat", "open", "read", "readlink", "scandir", "listdir"})


@contextlib.contextmanager
def looks_of_this_thread(root: Path) -> Generator[set[str]]:
    """Yields where, while the block runs, this thread itself looks at something in a folder."""
    places, before = set[str](), sys.getprofile()

    def profile(frame: FrameType, event: str, called: Any) -> None:
        if event == "c_call" and getattr(called, "__name__", "") in LOOKS:
            codes = [step[0].f_code for step in traceback.walk_stack(frame)]
            files = [Path(code.co_filename).stem for code in codes]
            values = [value for value in frame.f_locals.values() if isinstance(value, (str, Path))]
            is_pipe = files[0] == "subprocess"  # the folder that git works in is among its values
            if (
                "receipt_verifier" in files
                and not is_pipe
                and any(str(value).startswith(str(root)) for value in values)
            ):
                places.add(f"{codes[0].co_name} of {files[0]} calls {called.__name__}")

    sys.setprofile(profile)
    try:
        yield places
    finally:
        sys.setprofile(before)


async def test_what_a_task_names_is_looked_at_beside_the_event_loop_however_little_it_is(
    tmp_path: Path, repository: Path
) -> None:
    (repository / "link.py").symlink_to("src/a.py")
    found = make(tmp_path)
    for asked in (
        work(repository, files=("src/a.py", "src/new", "link.py")),
        work(repository, "file:src/b.py", "diff", files=("src/a.py",)),
        work(repository, "is quick"),
        work(repository, files=("src/", "new/", ".gitignore", ".git/HEAD")),
    ):
        with looks_of_this_thread(repository) as places:
            before = await noted(found, asked)
            write(repository, "src/a.py", f"two {asked.task.acceptance}")
            (repository / "src/new").mkdir(exist_ok=True)
            await looked(found, asked, before, claims=("src/a.py",))
        assert places == set(), "on the event loop"


async def test_nothing_is_noted_of_a_workspace_that_is_gone_and_its_criteria_say_so(tmp_path: Path) -> None:
    gone = tmp_path / "gone"
    for asked in (work(gone, "file:a.py", files=("a.py",)), replace(work(gone, "file:a.py", "diff"), attempt=2)):
        verifier = make(tmp_path)
        assert await noted(verifier, asked) == {}
        receipt, *_ = await looked(verifier, asked)
        assert not receipt.checked
        assert "is not there" in receipt.detail


async def test_a_change_that_only_a_criterion_asks_for_does_not_stand_for_the_declared_files(
    tmp_path: Path, repository: Path
) -> None:
    asked = work(repository, "diff:*.md", files=("src/a.py",))
    before = await noted(make(tmp_path), asked)
    write(repository, "notes.md", "done")
    criterion, declared, *_ = await looked(make(tmp_path), asked, before)
    assert (criterion.ok, declared.ok, declared.checked) == (True, False, True)
    assert "no declared file was changed; untouched: `src/a.py`" in declared.detail
