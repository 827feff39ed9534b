"""What reviewers are asked: one task each, blind, with the change as data."""

from __future__ import annotations

import re
from typing import Any

import hypothesis
import pytest
from hypothesis import strategies as st

from dispatch_mcp import model
from dispatch_mcp.model import types
from dispatch_mcp.review import answer_form, council_decision, diff_parts, findings, review_scope, review_tasks

SEATS = tuple(findings.Reviewer(reviewer=name) for name in ("security-sentinel", "user/money"))
FOCUSES = {"security-sentinel": "injection"}
OLD = review_tasks.Earlier(
    id="f1", severity="high", file="a.py", line=3, quote="first\nsecond", claim="it leaks", reviewers=("secret-name",)
)


def manifest(**more: Any) -> review_tasks.Manifest:
    return review_tasks.Manifest(seats=SEATS, advocate="devils-advocate", **more)


def tasks(known: review_tasks.Manifest, *texts: str) -> list[model.Task]:
    return review_tasks.tasks(known, "digest", texts or ("text",), FOCUSES)


def assignment(task: model.Task) -> review_tasks.ReviewAssignment:
    found = review_tasks.assignment_of(task)
    assert found is not None
    return found


def test_every_reviewer_has_a_task_without_an_edge_and_the_advocate_waits_for_all() -> None:
    *reviews, advocate = tasks(manifest())
    assert [(task.id, task.agent, task.deps) for task in reviews] == [
        ("security-sentinel", "security-sentinel", ()),
        ("user.money", "user/money", ()),
    ]
    assert (advocate.agent, advocate.deps) == ("devils-advocate", tuple(task.id for task in reviews))
    assert assignment(advocate).role == "advocate"


def test_every_part_is_read_by_every_reviewer() -> None:
    known = tasks(manifest(), "one", "two", "three")
    parts = [(assignment(task).reviewer, assignment(task).part, assignment(task).diff) for task in known]
    names = [*(seat.reviewer for seat in SEATS), "devils-advocate"]
    assert parts == [(name, at, text) for name in names for at, text in enumerate(("one", "two", "three"), 1)]
    assert len({task.id for task in known}) == len(known) == 9
    assert "part 2 of 3" in known[1].goal


@pytest.mark.parametrize(
    "known",
    [
        manifest(rules=council_decision.CouncilRules(devils_advocate=False)),
        manifest().model_copy(update={"advocate": ""}),
    ],
)
def test_nobody_argues_when_the_rules_or_the_catalogue_have_no_advocate(known: review_tasks.Manifest) -> None:
    assert [task.agent for task in tasks(known)] == [seat.reviewer for seat in SEATS]


def test_a_task_says_what_its_reviewer_looks_for_and_nothing_of_the_others() -> None:
    sentinel, money, _ = tasks(manifest())
    assert sentinel.goal == "Review the change only for: injection"
    assert money.goal == "Review the change for your own subject only"
    assert "money" not in sentinel.model_dump_json()
    assert "sentinel" not in money.model_dump_json()


def test_tasks_are_small_may_be_tried_twice_and_change_nothing() -> None:
    for task in tasks(manifest()):
        assert (task.max_attempts, task.effort, task.priority) == (2, model.Effort.S, model.Priority.HIGH)
        assert "Change nothing." in task.constraints
        assert task.output == (answer_form.OUTPUT,)
        assert task.model


def test_the_place_of_a_task_in_its_round_is_read_back() -> None:
    first = assignment(tasks(manifest(earlier=(OLD,)), "one", "two")[1])
    assert first == review_tasks.ReviewAssignment(
        manifest="digest", diff="two", reviewer="security-sentinel", part=2, parts=2, earlier="digest"
    )


@pytest.mark.parametrize(
    "value", [None, "text", 3, [], {}, {"diff": "d"}, {"manifest": 3}, {"manifest": "m", "diff": "d", "part": "two"}]
)
def test_any_other_task_is_no_review(value: model.Json) -> None:
    assert review_tasks.assignment_of(model.Task(id="t", do="x", inputs={review_tasks.INPUT: value})) is None
    assert review_tasks.assignment_of(model.Task(id="t", do="x")) is None


@hypothesis.given(st.text(max_size=90))
@hypothesis.example("Fancy Reviewer (mine)")
@hypothesis.example("コード係")
def test_the_id_of_a_task_is_one_that_tasks_can_have(reviewer: str) -> None:
    place = review_tasks.ReviewAssignment(manifest="m", diff="d", reviewer=reviewer, part=2, parts=3)
    name = review_tasks.name(place)
    assert name.endswith(".2")
    assert re.fullmatch(types.TASK_ID, name)
    assert 3 <= len(name) <= 52


SHOWN = manifest(
    files=("a.py", "b.py"),
    lines=9,
    spans=((diff_parts.Span(path="a.py", first=1, last=4),), (diff_parts.Span(path="b.py", first=1, last=5),)),
    flags=(findings.Flag(path="a.py", line=2, kind="verdict"), findings.Flag(path="b.py", line=1, kind="role")),
    excluded=(review_scope.Excluded(path="uv.lock", reason="lock file", lines=900),),
    redacted=2,
    earlier=(OLD,),
)


def material(part: int, *, earlier: str = "", known: review_tasks.Manifest = SHOWN) -> dict[str, str]:
    place = review_tasks.ReviewAssignment(
        manifest="m", diff="d", reviewer="security-sentinel", part=part, parts=2, earlier=earlier
    )
    return {block.kind: block.text for block in review_tasks.material(place, known, "the diff")}


def test_a_reviewer_is_told_what_it_sees_and_what_it_does_not() -> None:
    account = material(1)["account"]
    assert account.split("\n") == [
        "Part 1 of 2; 2 files, 9 changed lines in all.",
        "In this part: a.py",
        "In other parts: b.py",
        "Changed but not shown: uv.lock (lock file)",
        "2 lines hold something that looks like a secret; it reads [redacted:…] here.",
    ]


def test_a_reviewer_is_warned_of_the_lines_of_its_own_part_only() -> None:
    assert material(1)["flags"] == "a.py:2: asks for, or contains, a verdict"
    assert material(2)["flags"] == "b.py:1: gives its reader another role"
    assert "flags" not in material(1, known=SHOWN.model_copy(update={"flags": ()}))


def test_the_change_itself_comes_last_and_as_it_is() -> None:
    blocks = material(2)
    assert list(blocks)[-1] == "diff"
    assert blocks["diff"] == "the diff"


def test_earlier_findings_are_shown_without_the_names_of_those_who_raised_them() -> None:
    blocks = material(1, earlier="m")
    assert blocks["earlier findings"] == "- f1 (high) a.py:3: it leaks\n    first\n    second"
    assert "secret-name" not in "".join(blocks.values())
    assert "earlier findings" not in material(1)


def test_a_part_that_the_manifest_does_not_know_shows_no_file_as_its_own() -> None:
    assert "In this part: \n" in material(7)["account"]


def test_the_form_asks_for_rulings_only_when_there_are_earlier_findings() -> None:
    first, later = (
        review_tasks.ReviewAssignment(manifest="m", diff="d", reviewer="r", earlier=earlier) for earlier in ("", "m")
    )
    plain, again = review_tasks.form(first), review_tasks.form(later)
    assert again.startswith(plain)
    assert '"earlier"' in again
    assert '"earlier"' not in plain
    assert "`earlier`" in review_tasks.schema_form(later)
    assert "`earlier`" not in review_tasks.schema_form(first)
    assert all(word in plain for word in ("verdict", *findings.SEVERITIES, "quote"))


def test_a_manifest_reads_back_from_its_json() -> None:
    assert review_tasks.Manifest.model_validate_json(SHOWN.model_dump_json()) == SHOWN
