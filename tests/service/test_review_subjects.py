"""Which change is reviewed: the one that was asked for, nothing when it is empty, and never another one."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import Any

import council_setup
import hypothesis
import pytest
from hypothesis import strategies as st

from dispatch_mcp import errors
from dispatch_mcp.next_steps import StepKind
from dispatch_mcp.service import review_answers, review_subjects, reviews

pytestmark = pytest.mark.anyio

DIFF = "diff --git a/app.py b/app.py\n--- a/app.py\n+++ b/app.py\n@@ -1 +1 @@\n-x = 1\n+password = eval(text)\n"
ENVELOPE = "*** Begin Patch\n*** Update File: t.py\n@@ def f(x):\n-    return x\n+    return eval(x)\n*** End Patch\n"
SUBMODULE = "Submodule lib 1234567..89abcde:\n  > Add a thing\n"


async def answer(room: council_setup.Chamber, **request: Any) -> review_answers.ReviewAnswer:
    return await room.council.review(reviews.ReviewRequest(worker="host", **request))


def stored(home: Path) -> dict[str, bytes]:
    """Returns the texts that a store holds besides its database."""
    return {str(path): path.read_bytes() for path in home.rglob("*") if path.is_file() and "state.db" not in path.name}


@pytest.mark.parametrize(
    ("request_fields", "what"),
    [
        ({"diff": ""}, "diff"),
        ({"diff": " \n\t\n"}, "diff"),
        ({"diff": "\ufeff"}, "diff"),
        ({"diff": "```diff\n```\n"}, "diff"),
        ({"range": ""}, "range"),
        ({"range": "  "}, "range"),
        ({"run_id": ""}, "run"),
        ({"diff": "", "range": "", "run_id": ""}, "diff"),
    ],
)
async def test_what_is_given_and_empty_is_nothing_to_review_and_nothing_else_is_looked_at(
    tmp_path: Path, request_fields: dict[str, str], what: str
) -> None:
    async with council_setup.opened(tmp_path / "state") as room:
        room.tree.text = DIFF
        review = await answer(room, **request_fields)
        assert await room.app.store.plans(room.app.principal) == []
    assert (review.outcome, review.blocks, review.run_id) == (review_answers.NOTHING, True, "")
    assert review.why == f"There is nothing to review in the {what} that was given: it is empty."
    assert room.tree.asked == []
    assert review.next
    assert review.next.kind is StepKind.NAME_CHANGE


async def test_only_a_request_that_names_nothing_looks_at_the_working_tree(tmp_path: Path) -> None:
    async with council_setup.opened(tmp_path / "state") as room:
        room.tree.text = DIFF
        review = await answer(room)
    assert (room.tree.asked, review.of) == (["tree []"], "the working tree")


async def test_what_is_empty_beside_something_says_nothing(tmp_path: Path) -> None:
    async with council_setup.opened(tmp_path / "state") as room:
        room.tree.text = DIFF
        review = await answer(room, diff="", range="main", run_id="")
        assert (room.tree.asked, review.of) == (["main"], "range main")
        with pytest.raises(errors.InputError, match="not diff and range"):
            await answer(room, diff=DIFF, range="main")


@pytest.mark.parametrize(
    ("text", "form", "fix"),
    [
        (ENVELOPE, "an apply_patch envelope, beginning '*** Begin Patch'", "Send a unified diff"),
        (SUBMODULE, "the log of a submodule", "`--submodule=short`"),
        ("*** a.py\n--- a.py\n***************\n*** 1 ****\n! x\n--- 1 ----\n! y\n", "a context diff", "`diff -u`"),
        ("3c3\n< a\n---\n> b\n", "a diff without context", "`diff -u`"),
        (" app.py | 2 +-\n 1 file changed, 1 insertion(+)\n", "a summary", "add `-p`"),
        ("@@ -1 +1 @@\n-a\n+b\n", "lines without the names of their file", "Send a unified diff"),
        ("Please check the login.", "prose", "name a git range"),
        ("main..work", "a git range", "name a git range"),
    ],
)
async def test_a_text_that_is_no_diff_is_named_as_what_it_looks_like(
    tmp_path: Path, text: str, form: str, fix: str
) -> None:
    async with council_setup.opened(tmp_path / "state") as room:
        room.tree.text = DIFF
        with pytest.raises(errors.InputError) as raised:
            await answer(room, diff=text)
        assert await room.app.store.plans(room.app.principal) == []
    assert "cannot be read as a change" in raised.value.message
    assert form in raised.value.message
    assert fix in str(raised.value)
    assert room.tree.asked == []


@pytest.mark.parametrize(
    ("text", "place"),
    [
        (DIFF + ENVELOPE, "lines 7-11 look like an apply_patch envelope"),
        (SUBMODULE + DIFF, "lines 1-2 look like the log of a submodule"),
        (DIFF.replace("@@ -1 +1 @@", "@@ -1,90 +1,90 @@"), "lines 4-6 look like a hunk that is cut off"),
        (DIFF + "\n+    evil()\n", "line 8 looks like changed lines outside of any hunk"),
    ],
)
async def test_a_diff_of_which_a_part_cannot_be_read_is_refused_and_says_which(
    tmp_path: Path, text: str, place: str
) -> None:
    async with council_setup.opened(tmp_path / "state") as room:
        for dry_run in (False, True):
            with pytest.raises(errors.InputError) as raised:
                await answer(room, diff=text, dry_run=dry_run)
            assert f"A part of the diff cannot be read: {place}" in raised.value.message
            assert "Leave these lines out" in str(raised.value)


@pytest.mark.parametrize(
    "text",
    [
        f"Here it is:\n\n```diff\n{DIFF}```\n\n- please be quick\n",
        "\ufeff" + DIFF.replace("\n", "\r\n"),
        "\n".join(f"\x1b[32m{line}\x1b[m" for line in DIFF.split("\n")),
        DIFF.replace("a/app.py", "app.py").replace("b/app.py", "app.py"),
        DIFF.replace("a/", "i/").replace("b/", "w/"),
        f"From {'1' * 40} Mon Sep 17\nSubject: [PATCH] x\n\n*** Begin Patch\n---\n a | 2 +-\n\n{DIFF}-- \n2.43\n",
    ],
    ids=["fence", "crlf", "colours", "no prefix", "other prefixes", "mail"],
)
async def test_a_diff_is_read_through_what_surrounds_it(tmp_path: Path, text: str) -> None:
    async with council_setup.opened(tmp_path / "state") as room:
        review = await answer(room, diff=text, dry_run=True)
    assert review.files == ("app.py (2 lines)",)


@hypothesis.given(
    st.sampled_from([None, "", " ", "x"]), st.sampled_from([None, "", "y"]), st.sampled_from([None, "", "z"])
)
def test_never_another_change_than_was_asked_for(diff: str | None, span: str | None, run_id: str | None) -> None:
    words = [value for value in (diff, span, run_id) if value is not None]
    full = [value for value in words if value.strip()]
    if len(full) > 1:
        with pytest.raises(errors.InputError, match="Give one of"):
            review_subjects.target(diff, span, run_id)
        return
    target = review_subjects.target(diff, span, run_id)
    assert (target.kind == "tree") is (not words)
    assert target.value == (full[0] if full else "")
    assert target.is_empty is (bool(words) and not full)


async def test_a_choice_says_who_would_review_what_and_why_and_stores_nothing(tmp_path: Path) -> None:
    home = tmp_path / "state"
    async with council_setup.opened(home) as room:
        before = stored(home)
        choice = await answer(room, diff=DIFF, reviewers=("review-business",), dry_run=True)
        assert await room.app.store.plans(room.app.principal) == []
        assert await room.app.store.runs(room.app.principal, limit=9) == []
        assert stored(home) == before
    assert (choice.outcome, choice.run_id, choice.assignments) == ("", "", ())
    reasons = {line.name: line.why for line in choice.reviewers}
    assert next(iter(reasons)) == "architecture-strategist"
    assert "`password*` is in the change" in reasons["security-sentinel"]
    assert reasons["review-business"] == ("asked for by name",)
    assert set(choice.not_chosen) == {"performance-oracle", "dependency-analyst", "legacy-healing-auditor"}
    assert choice.files == ("app.py (2 lines)",)
    assert (choice.coverage.files, choice.coverage.lines, choice.coverage.parts) == (1, 2, 1)
    assert "security-sentinel" in choice.why
    assert "devils-advocate" in choice.why
    assert choice.next
    assert choice.next.kind is StepKind.BEGIN_REVIEW


async def test_the_round_that_follows_a_choice_has_the_reviewers_that_it_named(tmp_path: Path) -> None:
    async with council_setup.opened(tmp_path / "state") as room:
        choice = await answer(room, diff=DIFF, dry_run=True)
        review = await answer(room, diff=DIFF)
        again = await answer(room, run_id=review.run_id, dry_run=True)
    assert [line.name for line in choice.reviewers] == [line.name for line in review.reviewers]
    assert (again.run_id, again.assignments) == (review.run_id, ())


@pytest.mark.parametrize("change", ["", DIFF.replace("app.py", "yarn.lock")])
async def test_a_choice_about_nothing_is_nothing_to_review(tmp_path: Path, change: str) -> None:
    async with council_setup.opened(tmp_path / "state") as room:
        choice = await answer(room, diff=change, dry_run=True)
    assert choice.outcome == review_answers.NOTHING


async def test_the_same_change_finds_its_round_though_only_some_of_its_files_could_be_looked_at(tmp_path: Path) -> None:
    looks: list[dict[str, str]] = []

    def hasty(_workspace: str, paths: Collection[str]) -> dict[str, str]:
        looks.append({path: f"look {len(looks)}" for path in paths})
        return looks[-1]

    async with council_setup.opened(tmp_path / "state") as room:
        room.tree.text, room.tree.in_workspace = DIFF, True
        room.app.store.states_of = hasty
        first, second = [await room.council.review(reviews.ReviewRequest(worker="host")) for _ in range(2)]
    assert looks[0] != looks[1]
    assert first.run_id == second.run_id
