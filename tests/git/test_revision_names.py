"""Which commits are meant by a range, asked of a git that is a table of answers: no repository is needed."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from dispatch_mcp import errors
from dispatch_mcp.git import git_process, revisions
from dispatch_mcp.mcp_server import tool_wording

A, B, C, TREE = "a" * 40, "b" * 40, "c" * 40, "4b825dc642cb6eb9a060e54bf8d69288fbee4904"
COMMITS = {"HEAD": A, "main": B, "v1": C, "main~2": C}

pytestmark = pytest.mark.anyio


class Git:
    """Knows some commits and their parents; everything that it was asked stands in `calls`."""

    def __init__(
        self,
        *,
        parents: Mapping[str, tuple[str, ...]] | None = None,
        base: str = "",
        lacks: tuple[str, ...] = (),
        shallow: bool = False,
        complaint: str = "",
        names: tuple[str, ...] = ("main", "origin/topic", "v1"),
        empty: bool = False,
    ) -> None:
        self.parents, self.base, self.lacks, self.shallow = parents or {}, base, lacks, shallow
        self.complaint, self.names, self.empty = complaint, names, empty
        self.calls: list[tuple[str, ...]] = []

    async def run(self, *words: str) -> git_process.GitAnswer:
        self.calls.append(words)
        match words:
            case ("rev-parse", "--is-shallow-repository"):
                reply = answer(str(self.shallow).lower())
            case ("rev-parse", *_, name):
                commit = COMMITS.get(name.removesuffix("^{commit}"))
                reply = answer(commit or "", code=0 if commit else 128, err=self.complaint)
            case ("hash-object", *_):
                reply = answer(TREE)
            case ("cat-file", "commit", commit):
                lines = [f"parent {parent}" for parent in self.parents.get(commit, ())]
                reply = answer("\n".join([f"tree {TREE}", *lines, "author Ann"]) + "\n\nparent of all bugs\n")
            case ("cat-file", "-e", commit):
                reply = answer(code=1 if commit in self.lacks else 0)
            case ("merge-base", *_):
                reply = answer(self.base, code=0 if self.base else 1)
            case ("rev-list", *_):
                reply = answer("" if self.empty else A)
            case _:
                reply = answer("\n".join(self.names))
        return reply


def answer(out: str = "", *, code: int = 0, err: str = "") -> git_process.GitAnswer:
    return git_process.GitAnswer(code, out.encode() + b"\n" * bool(out), err.encode())


async def span(text: str, git: Git | None = None) -> tuple[str, str]:
    return (await revisions.Revisions((git or Git(base=C)).run).span(text))[:2]


@pytest.mark.parametrize(
    ("text", "ends"),
    [
        ("main..HEAD", (B, A)),
        ("main..", (B, A)),
        ("..main", (A, B)),
        (" main .. v1 ", (B, C)),
        ("main...HEAD", (C, A)),
        ("main", (C, A)),
        ("...main", (C, B)),
    ],
)
async def test_ends_that_are_left_out_are_head_and_three_dots_begin_where_both_parted(
    text: str, ends: tuple[str, str]
) -> None:
    assert await span(text) == ends


@pytest.mark.parametrize(
    ("text", "parents", "ends"),
    [
        ("main^!", (C,), (C, B)),
        ("main^!", (C, A), (C, B)),
        ("main^!", (), (TREE, B)),
        ("main^-", (C, A), (C, B)),
        ("main^-1", (C, A), (C, B)),
        ("main^-2", (C, A), (A, B)),
    ],
)
async def test_one_commit_alone_is_read_against_the_parent_that_is_meant(
    text: str, parents: tuple[str, ...], ends: tuple[str, str]
) -> None:
    assert await span(text, Git(parents={B: parents})) == ends


@pytest.mark.parametrize(("text", "parents"), [("main^-2", (C,)), ("main^-0", (C,)), ("main^-1", ())])
async def test_a_parent_that_there_is_not_is_refused_with_how_many_there_are(
    text: str, parents: tuple[str, ...]
) -> None:
    with pytest.raises(errors.InputError, match=f"'main' has {len(parents)} parents") as refusal:
        await span(text, Git(parents={B: parents}))
    assert refusal.value.hint == "main^! is what that commit changed."


async def test_a_parent_that_was_not_fetched_is_not_taken_for_nothing() -> None:
    with pytest.raises(errors.InputError, match="the clone is shallow") as refusal:
        await span("main^!", Git(parents={B: (C,)}, lacks=(C,)))
    assert "--unshallow" in str(refusal.value.hint)


@pytest.mark.parametrize(("shallow", "hint"), [(True, "--unshallow"), (False, "Two dots")])
async def test_ends_without_a_common_commit_say_what_to_do(hint: str, *, shallow: bool) -> None:
    with pytest.raises(errors.InputError, match="no commit in common") as refusal:
        await span("main...v1", Git(shallow=shallow))
    assert hint in refusal.value.advice(tool_wording.words)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("HEAD..HEAD", "HEAD is both ends of it."),
        ("HEAD", "HEAD is both ends of it; HEAD^! is what that commit alone changed."),
    ],
)
async def test_a_range_of_nothing_says_why(text: str, why: str) -> None:
    assert (await revisions.Revisions(Git(base=A).run).span(text)).note == why


@pytest.mark.parametrize("text", ["a....b", "a..b..c", "a...b..c", "--all", ":a", "a\nb", "x" * 301, "^main", "a b"])
async def test_what_can_be_no_range_is_refused_before_git_is_asked(text: str) -> None:
    git = Git()
    with pytest.raises(errors.InputError, match=r"is no (range|revision)"):
        await span(text, git)
    assert git.calls == []


@pytest.mark.parametrize(
    ("git", "name", "why", "hint"),
    [
        (Git(complaint="fatal: not a git repository"), "x", "no git repository", "as diff"),
        (Git(complaint="fatal: detected dubious ownership"), "x", "no git repository", "as diff"),
        (Git(empty=True), "x", "the repository has none yet", "Leave the range out"),
        (Git(shallow=True), "x", "behind what was fetched", "--unshallow"),
        (Git(), "main~9", "'main' has no such ancestor", "main^!"),
        (Git(), "mian", "no commit 'mian' here", "Did you mean main?"),
        (Git(), "topic", "no commit 'topic' here", "Did you mean origin/topic?"),
        (Git(names=()), "elsewhere", "no commit 'elsewhere' here", "`git branch -a` and `git tag`"),
        (Git(complaint="warning: refname 'x' is ambiguous."), "x", "more than one thing", "heads/x"),
    ],
)
async def test_an_unknown_commit_is_refused_with_the_reason_and_a_way_on(
    git: Git, name: str, why: str, hint: str
) -> None:
    with pytest.raises(errors.InputError) as refusal:
        await revisions.Revisions(git.run).commit(name)
    assert why in refusal.value.message
    assert hint in refusal.value.advice(tool_wording.words)


async def test_every_name_reaches_git_behind_the_end_of_options() -> None:
    git = Git()
    await span("main..v1", git)
    assert [words[-2] for words in git.calls if words[0] == "rev-parse"] == ["--end-of-options"] * 2
