"""Whether a run's merged work may come into the checkout, and how that is said; no repository is needed."""

from __future__ import annotations

import pytest

from dispatch_mcp import errors, model
from dispatch_mcp.git import apply_rules
from dispatch_mcp.model import merge_offer
from dispatch_mcp.next_steps import NextStep, StepKind

RUN = "add-login-" + "1" * 32
NOW, HEAD = "c" * 40, "a" * 40


def offer(**changes: model.Json) -> merge_offer.Offer:
    fields: dict[str, model.Json] = {
        "run_id": RUN,
        "branch": "main",
        "head": HEAD,
        "revision": NOW,
        "way": "forward",
        "commits": 2,
        "files": ("a.py", "b.py"),
    }
    return merge_offer.Offer.model_validate({**fields, **changes})


OBSTACLES: list[tuple[dict[str, model.Json], str, str]] = [
    ({"busy": "rebase"}, "in the middle of a rebase", "Finish that first."),
    ({"branch": ""}, "on no branch", "Switch to the branch"),
    ({"clashes": ("a.py",)}, "The branch `main` and the run both changed `a.py`.", "git merge cccccccccccc"),
    ({"lacking": ("lib",)}, "your copies of them lack: `lib`.", "Fetch these commits"),
    ({"behind_filters": ("a.bin",)}, "may not run, and write `a.bin`.", "trusted_repositories"),
    ({"local": ("a.py",)}, "written over in `a.py`.", "Commit these files or move them away"),
]


@pytest.mark.parametrize(("changes", "why", "mend"), OBSTACLES, ids=lambda part: next(iter(part)) if part else "")
def test_each_obstacle_is_named_with_what_to_do_and_refuses(
    changes: dict[str, model.Json], why: str, mend: str
) -> None:
    held = offer(**changes)
    obstacle = apply_rules.obstacle(held)
    assert obstacle is not None
    assert why in obstacle[0]
    assert mend in obstacle[1]
    assert not apply_rules.can_be_applied(held)
    with pytest.raises(errors.NotAllowed) as refusal:
        apply_rules.refuse(held, NOW)
    assert (refusal.value.message, refusal.value.hint) == obstacle
    line = apply_rules.describe_offer(held).splitlines()[0]
    assert line == "Cannot apply 2 commits of run add-login-1111 now: cccccccccccc stays outside of the checkout."


def test_what_the_user_is_in_the_middle_of_comes_before_what_is_in_the_way() -> None:
    whole = [change for change, _, _ in OBSTACLES]
    for position, change in enumerate(whole):
        later = {name: value for more in whole[position + 1 :] if "branch" not in more for name, value in more.items()}
        expected = apply_rules.obstacle(offer(**change))
        assert apply_rules.obstacle(offer(**{**later, **change})) == expected


def test_a_change_without_obstacles_may_be_applied_by_any_beginning_of_its_revision() -> None:
    for length in (7, 12, 40):
        apply_rules.refuse(offer(), NOW[:length])
    assert apply_rules.obstacle(offer()) is None
    assert apply_rules.can_be_applied(offer())


@pytest.mark.parametrize("expect", ["", "c" * 6, "main", "c" * 65, "C" * 12, "c" * 12 + " "])
def test_what_is_no_revision_is_refused_with_the_one_that_there_is(expect: str) -> None:
    with pytest.raises(errors.InputError, match="is no revision") as refusal:
        apply_rules.refuse(offer(), expect)
    assert repr(expect) in refusal.value.message
    assert refusal.value.hint == NextStep(StepKind.NAME_REVISION, RUN, revision=NOW)


def test_a_revision_that_has_moved_on_is_refused_before_anything_in_the_way_is_said() -> None:
    with pytest.raises(errors.InputError, match="has merged cccccccccccc by now, not 'bbbbbbbbbbbb'") as refusal:
        apply_rules.refuse(offer(busy="merge"), "b" * 40)
    assert refusal.value.hint == NextStep(StepKind.LOOK_AT_CHANGE, RUN)


def test_nothing_is_in_the_way_of_a_change_that_the_branch_has() -> None:
    done = offer(way="nothing", local=("a.py",), busy="merge")
    apply_rules.refuse(done, NOW)
    assert apply_rules.can_be_applied(done)
    assert apply_rules.describe_offer(done) == "`main` already has everything that run add-login-1111 has merged."
    detached = apply_rules.describe_offer(offer(way="nothing", branch=""))
    assert detached.startswith("`aaaaaaaaaaaa` already has")


@pytest.mark.parametrize(("state", "still"), [("running", ", and is still running"), ("succeeded", ""), ("", "")])
def test_a_run_that_has_merged_nothing_says_so_and_whether_it_goes_on(state: str, still: str) -> None:
    empty = offer(is_empty=True, way="nothing", run_state=state)
    assert (
        apply_rules.describe_offer(empty) == f"Run add-login-1111 has merged nothing{still}: there is nothing to apply."
    )
    assert not apply_rules.can_be_applied(empty)


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        ({}, "Would apply 2 commits of run add-login-1111: `main` moves on to cccccccccccc."),
        ({"commits": 1}, "Would apply 1 commit of run add-login-1111: `main` moves on to cccccccccccc."),
        ({"way": "merge"}, "Would apply 2 commits of run add-login-1111: `main` is merged with cccccccccccc."),
        ({"applied": True}, "Applied 2 commits of run add-login-1111: `main` moves on to cccccccccccc."),
        ({"applied": True, "branch": ""}, "Applied 2 commits of run add-login-1111: `HEAD` moves on to cccccccccccc."),
    ],
)
def test_what_would_happen_or_has_happened_is_said_with_its_files(changes: dict[str, model.Json], line: str) -> None:
    assert apply_rules.describe_offer(offer(**changes)).splitlines() == [line, "Files: `a.py`, `b.py`."]


@pytest.mark.parametrize(
    ("dirty", "changing", "hit"),
    [
        (["a.py"], ["a.py"], ("a.py",)),
        (["src/"], ["src/a.py"], ("src/",)),
        (["src/a.py"], ["src"], ("src/a.py",)),
        (["src2/"], ["src/a.py"], ()),
        (["b.py", "a.py"], ["a.py", "b.py"], ("b.py", "a.py")),
        ([], ["a.py"], ()),
        (["a.py"], [], ()),
    ],
)
def test_uncommitted_paths_are_in_the_way_where_a_change_touches_them(
    dirty: list[str], changing: list[str], hit: tuple[str, ...]
) -> None:
    assert apply_rules.local(dirty, changing) == hit
