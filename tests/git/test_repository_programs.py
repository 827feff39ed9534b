"""Programs that a repository configures itself: named, replaced, and started only where the user trusts it."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from submodule_setup import add_submodule
from temp_repository import Site, changes, commit, git, lines, make, puts, shown, write

from dispatch_mcp import errors
from dispatch_mcp.git import branch_apply, git_process, repository_programs
from dispatch_mcp.model import AttemptState
from dispatch_mcp.process import child_environment

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.promise("S19"),
    pytest.mark.skipif(sys.platform == "win32", reason="the programs are shell scripts"),
]

NAMES = st.text(st.characters(exclude_characters="\0\n", exclude_categories=("Cs",)), min_size=1, max_size=12)


def listing(*entries: Sequence[str]) -> str:
    return "".join(f"{scope}\0{key}\0" for scope, key in entries)


@given(st.lists(NAMES, max_size=4, unique=True), st.sampled_from(["clean", "smudge", "process", "required"]))
def test_a_filter_is_replaced_whatever_it_is_called(names: list[str], variable: str) -> None:
    programs = repository_programs.read(listing(*(("local", f"filter.{name}.{variable}") for name in names)))
    assert programs.filters == tuple(names)
    replacements = dict(programs.replacements())
    for name in names:
        assert {replacements[f"filter.{name}.{key}"] for key in ("clean", "smudge", "process")} == {""}
        assert replacements[f"filter.{name}.required"] == "false"


@pytest.mark.parametrize(
    ("scope", "key", "expected"),
    [
        ("local", "filter.lfs.clean", (("lfs",), (), (), False)),
        ("worktree", "filter.lfs.clean", (("lfs",), (), (), False)),
        ("global", "filter.lfs.clean", ((), (), (), False)),
        ("system", "merge.x.driver", ((), (), (), False)),
        ("local", "merge.x.driver", ((), ("x",), (), False)),
        ("local", "merge.a.b.driver", ((), ("a.b",), (), False)),
        ("local", "hook.x.command", ((), (), ("x",), False)),
        ("local", "core.worktree", ((), (), (), True)),
        ("global", "core.worktree", ((), (), (), False)),
    ],
)
def test_only_what_a_repository_sets_itself_counts(scope: str, key: str, expected: tuple[object, ...]) -> None:
    assert repository_programs.read(listing((scope, key))) == expected


@given(st.dictionaries(NAMES, st.text(max_size=5), max_size=4), st.dictionaries(NAMES, st.text(max_size=5), max_size=4))
def test_settings_are_added_behind_those_that_are_there(first: dict[str, str], more: dict[str, str]) -> None:
    variables = repository_programs.joined(repository_programs.environment(first.items()), more.items())
    count = int(variables.get("GIT_CONFIG_COUNT", "0"))
    pairs = [(variables[f"GIT_CONFIG_KEY_{at}"], variables[f"GIT_CONFIG_VALUE_{at}"]) for at in range(count)]
    assert pairs == [*first.items(), *more.items()]


def settings_by_git(folder: Path) -> repository_programs.OwnPrograms:
    return repository_programs.read(git(folder, *repository_programs.LISTING, check=False))


SETS = {
    "a filter": '[filter "x"]\n\tclean = y\n',
    "in capitals": '[FILTER "x"]\n\tCLEAN = y\n',
    "with dots": "[filter.x]\nclean = y\n",
    "on one line": '[core] [merge "x"] driver = y\n',
    "behind a byte order mark": '\ufeff[hook "x"]\r\ncommand = y\r\n',
    "an included file": "[include]\npath = more\n",
    "a file that is included here": '[includeIf "gitdir:/**"]\npath = more\n',
    "a folder elsewhere": "[core]\n\tworkTree = /\n",
    "settings of a worktree": "[extensions]\nworktreeConfig = true\n",
}


@pytest.mark.parametrize("text", SETS.values(), ids=SETS)
def test_a_repository_that_names_programs_in_any_way_is_asked_for_them(text: str, tmp_path: Path) -> None:
    repo = make(tmp_path / "repo")
    git(repo, "worktree", "add", "-q", "--detach", str(tmp_path / "copy"))
    assert repository_programs.are_none_set(repo)
    assert repository_programs.are_none_set(tmp_path / "copy")
    config, more = repo / ".git/config", '[filter "x"]\nclean = y\n'
    config.write_text(text + config.read_text() if text.startswith("\ufeff") else config.read_text() + text)
    (repo / ".git/more").write_text(more)
    (repo / ".git/config.worktree").write_text(more)
    assert settings_by_git(repo) != repository_programs.OwnPrograms(), "git sees it too"
    for folder in (repo, repo / "src", tmp_path / "copy", repo / ".git"):
        assert not repository_programs.are_none_set(folder), folder


@given(
    words=st.lists(
        st.sampled_from([*'[]"=.\\\n;# x', "filter", "Merge", "core", "worktree", "clean", "\\\n", "\t"]), max_size=20
    )
)
def test_what_is_taken_for_certain_is_what_git_says(words: list[str], tmp_path_factory: pytest.TempPathFactory) -> None:
    repo = tmp_path_factory.mktemp("any") / "repo"
    (repo / ".git").mkdir(parents=True)
    (repo / ".git/config").write_text("[core]\n" + "".join(words))
    if repository_programs.are_none_set(repo):
        answer = git(repo, "config", "--file", ".git/config", "--name-only", "--list", check=False)
        assert not [key for key in answer.lower().splitlines() if key.startswith(("filter.", "merge.", "hook."))]
        assert "core.worktree" not in answer.lower()


def test_repositories_of_every_usual_form_are_certain(tmp_path: Path) -> None:
    git(tmp_path, "init", "-q", "--bare", "bare")
    git(tmp_path, "init", "-q", "--separate-git-dir", str(tmp_path / "apart"), "files")
    for folder in (tmp_path, tmp_path / "bare", tmp_path / "bare/refs", tmp_path / "files", tmp_path / "apart"):
        assert repository_programs.are_none_set(folder), folder
    for config, folder in ((tmp_path / "bare/config", "bare/refs"), (tmp_path / "apart/config", "files")):
        config.write_text(config.read_text() + SETS["a filter"])
        assert not repository_programs.are_none_set(tmp_path / folder)


def test_what_is_unusual_is_not_certain_and_is_not_waited_for(tmp_path: Path) -> None:
    for name, text in {
        "empty": "",
        "nowhere": "gitdir: /nowhere/at/all\n",
        "huge": "gitdir: " + "x" * (1 << 20),
    }.items():
        write(tmp_path, f"{name}/.git", text)
        assert not repository_programs.are_none_set(tmp_path / name), name
    (tmp_path / "piped/.git").mkdir(parents=True)
    os.mkfifo(tmp_path / "piped/.git/config")
    assert not repository_programs.are_none_set(tmp_path / "piped")


def policy() -> child_environment.ChildPolicy:
    return child_environment.ChildPolicy({"PATH": os.environ["PATH"], "HOME": os.environ["HOME"]})


@pytest.fixture
def site(tmp_path: Path) -> Site:
    """A repository whose own filter writes files in capitals, and keeps them in small letters."""
    repo = make(tmp_path / "repo")
    write(repo, ".gitattributes", "*.txt filter=caps merge=mine\n")
    git(repo, "config", "filter.caps.smudge", "tr a-z A-Z")
    git(repo, "config", "filter.caps.clean", "tr A-Z a-z")
    git(repo, "config", "filter.caps.required", "true")
    git(repo, "config", "merge.mine.driver", f"touch {tmp_path}/merged; false")
    commit(repo, "Filtered")
    return Site(repo, tmp_path / "state")


def trusting(site: Site, *folders: Path) -> git_process.Git:
    return git_process.Git(site.home, policy(), folders)


async def test_a_worktree_has_files_as_git_stores_them_and_it_is_said(site: Site) -> None:
    outcome = await site.attempt(site.order(), changes("a.txt", "line 5", "line five"))
    assert outcome.state is AttemptState.SUCCEEDED, outcome.error
    assert shown(site.repo, "run", "a.txt") == lines().replace("line 5", "line five").rstrip()
    [receipt] = [receipt for receipt in outcome.receipts if receipt.kind == "merge"]
    assert "`caps`" in receipt.detail
    assert "trusted_repositories" in receipt.detail


async def test_a_merge_without_the_repositorys_driver_is_the_one_of_git_itself(site: Site, tmp_path: Path) -> None:
    first = site.attempt(site.order("t1"), changes("a.txt", "line 1\n", "line one\n"))
    await first
    base = git(site.repo, "rev-parse", "refs/dispatch/run/base")
    merger = site.workspaces.merger
    repo = await git_process.find(site.workspaces.git, str(site.repo))
    ours = git(site.repo, "rev-parse", "refs/dispatch/run/merged")
    for old, is_clash in (("line 9\n", False), ("line 1\n", True)):
        blob = tmp_path / "blob"
        blob.write_text(lines().replace(old, "other\n"))
        index = {"GIT_INDEX_FILE": str(tmp_path / "index")}
        git_of = site.workspaces.git
        await git_of.run(site.repo, "read-tree", base, env=index)
        name = git(site.repo, "hash-object", "-w", "--no-filters", str(blob))
        await git_of.run(site.repo, "update-index", "--cacheinfo", f"100644,{name},a.txt", env=index)
        tree = (await git_of.run(site.repo, "write-tree", env=index)).out.strip()
        theirs = await merger.commit(repo, tree, (base,), "Theirs")
        merge = await merger.try_merge(repo, ours, theirs)
        assert bool(merge.conflicts) is is_clash
        text = git(site.repo, "show", f"{merge.tree}:a.txt")
        assert ("line one" in text, "other" in text) == (True, True)
        assert ("<<<<<<<" in text) is is_clash
    assert not (tmp_path / "merged").exists()


async def test_a_binary_file_that_both_sides_changed_is_a_clash(site: Site, tmp_path: Path) -> None:
    (site.repo / "b.txt").write_bytes(b"\0one")
    commit(site.repo, "Binary")
    base = git(site.repo, "rev-parse", "HEAD")
    heads: list[str] = []
    for text in (b"\0two", b"\0three"):
        git(site.repo, "checkout", "-q", "--detach", base)
        (site.repo / "b.txt").write_bytes(text)
        heads.append(commit(site.repo, "Changed"))
    repo = await git_process.find(site.workspaces.git, str(site.repo))
    assert list((await site.workspaces.merger.try_merge(repo, *heads)).conflicts) == ["b.txt"]


async def test_apply_writes_no_file_that_needs_a_filter_which_may_not_run(site: Site) -> None:
    await site.attempt(site.order(), puts("new.txt", "new\n"))
    applier = branch_apply.BranchApply(site.workspaces.git)
    offer = await applier.look(str(site.repo), "run")
    assert offer.behind_filters == ("new.txt",)
    with pytest.raises(errors.NotAllowed, match="configures itself"):
        await applier.apply(str(site.repo), "run", offer.revision)
    assert not (site.repo / "new.txt").exists()


async def test_what_goes_through_no_filter_is_applied(site: Site) -> None:
    await site.attempt(site.order(), puts("new.py", "new\n"))
    applier = branch_apply.BranchApply(site.workspaces.git)
    offer = await applier.look(str(site.repo), "run")
    assert (await applier.apply(str(site.repo), "run", offer.revision)).applied


async def test_filters_run_in_repositories_that_the_user_trusts(site: Site) -> None:
    git_of = trusting(site, site.repo.parent)
    assert await git_of.own_programs(site.repo) == repository_programs.OwnPrograms()
    await git_of.run(site.repo, "worktree", "add", "--detach", "--quiet", str(site.repo.parent / "copy"))
    assert (site.repo.parent / "copy" / "a.txt").read_text() == lines().upper()
    site.workspaces = type(site.workspaces)(git_of, site.home)
    await site.attempt(site.order(), puts("new.txt", "NEW\n"))
    applier = branch_apply.BranchApply(git_of)
    offer = await applier.look(str(site.repo), "run")
    assert (await applier.apply(str(site.repo), "run", offer.revision)).applied
    assert git(site.repo, "show", "HEAD:new.txt") == "new"
    assert (site.repo / "new.txt").read_text() == "NEW\n"


async def test_trust_holds_for_the_folder_that_is_named_and_what_is_in_it(site: Site, tmp_path: Path) -> None:
    for folder, is_trusted in (
        (site.repo, True),
        (tmp_path, True),
        (tmp_path / "re", False),
        (site.repo / "src", False),
        (tmp_path / "other", False),
    ):
        programs = await trusting(site, folder).own_programs(site.repo)
        assert (programs.filters == ()) is is_trusted, folder


async def test_what_the_user_has_set_up_for_all_repositories_still_runs(site: Site) -> None:
    for kind, program in (("smudge", "tr a-z A-Z"), ("clean", "tr A-Z a-z")):
        git(site.repo, "config", "--global", f"filter.caps.{kind}", program)
        git(site.repo, "config", "--unset", f"filter.caps.{kind}")
    git(site.repo, "config", "--unset", "filter.caps.required")
    await site.workspaces.git.run(site.repo, "worktree", "add", "--detach", "-q", str(site.repo.parent / "copy"))
    assert (site.repo.parent / "copy" / "a.txt").read_text() == lines().upper()


async def test_a_repository_whose_files_are_elsewhere_is_not_looked_at(site: Site, tmp_path: Path) -> None:
    write(tmp_path, "elsewhere/a.txt", "secret")
    git(site.repo, "config", "core.worktree", str(tmp_path / "elsewhere"))
    with pytest.raises(errors.WorkerError, match="says that its files are in"):
        await site.workspaces.git.run(site.repo, "status", "--porcelain")
    with pytest.raises(git_process.Unusable, match="says that its files are in"):
        await git_process.find(site.workspaces.git, str(site.repo))


async def test_a_submodule_whose_files_are_where_it_says_is_looked_at(site: Site, tmp_path: Path) -> None:
    inner = add_submodule(site.repo, tmp_path / "pump")
    assert git(inner, "config", "core.worktree")
    assert (await git_process.find(site.workspaces.git, str(inner))).top == inner
    assert (await site.workspaces.git.run(inner, "status", "--porcelain")).out == ""
