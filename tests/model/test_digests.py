"""Digests stay what they were in the first state files, or finished work would be done and paid for again."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

import hypothesis
import pytest
from hypothesis import strategies as st

from dispatch_mcp import model
from dispatch_mcp.model import digests

GOLDEN = json.loads((Path(__file__).parent / "data" / "digests.json").read_text("utf-8"))
"""Taken from the code before tasks declared their own fields; never renew it."""

BARE = model.Task(id="a", do="write it")
TEXTS = st.text(max_size=20)


class YoungerTask(model.Task):
    """A task with a field that the first state files did not know."""

    colour: Annotated[str, model.TaskField("name", "when_set")] = "blue"


@pytest.mark.parametrize("case", GOLDEN["tasks"], ids=lambda case: case["task"]["id"])
def test_tasks_of_old_state_files_keep_their_digest(case: Mapping[str, model.Json]) -> None:
    assert digests.spec_digest(model.Task.model_validate(case["task"])) == case["spec_digest"]


def test_results_and_work_of_old_state_files_keep_theirs() -> None:
    outcome = model.Outcome.model_validate(GOLDEN["result"]["outcome"])
    assert digests.result_digest(outcome) == GOLDEN["result"]["result_digest"]
    assert digests.work_key(GOLDEN["tasks"][0]["spec_digest"], [("b", "2"), ("a", "1")]) == GOLDEN["work_key"]


def test_a_younger_field_counts_only_where_it_is_set() -> None:
    unset = YoungerTask(id="a", do="write it")
    assert digests.spec_digest(unset) == digests.spec_digest(BARE)
    assert digests.spec_digest(unset.model_copy(update={"colour": "red"})) != digests.spec_digest(BARE)


def test_place_and_limits_of_a_task_do_not_make_it_other_work() -> None:
    elsewhere = {"id": "b", "deps": ("c",), "priority": "high", "max_attempts": 1, "timeout_s": 5.0}
    assert digests.spec_digest(BARE.model_copy(update=elsewhere)) == digests.spec_digest(BARE)


@hypothesis.given(st.dictionaries(TEXTS, st.tuples(TEXTS, st.integers(-5, 5)), max_size=4))
def test_the_order_in_which_an_object_was_written_does_not_matter(inputs: dict[str, tuple[str, int]]) -> None:
    turned = dict(reversed(inputs.items()))
    assert digests.digest(inputs) == digests.digest(turned)


@hypothesis.given(TEXTS, TEXTS)
def test_a_result_that_tells_its_dependants_something_else_has_another_digest(first: str, second: str) -> None:
    results = [model.Outcome(state=model.AttemptState.SUCCEEDED, summary=summary) for summary in (first, second)]
    digest, other = map(digests.result_digest, results)
    assert (digest == other) == (first == second)


def test_numbers_that_json_cannot_say_have_no_digest() -> None:
    with pytest.raises(ValueError, match="JSON compliant"):
        digests.digest(float("nan"))


OUTCOME = model.Outcome.model_validate(GOLDEN["result"]["outcome"])
ARTIFACT = model.Artifact(name="log", digest="0")


@pytest.mark.parametrize(
    "handoff",
    [
        {"completed_work": "other"},
        {"files_modified": ("other.py",)},
        {"decisions_made": ("other",)},
        {"open_questions": ("other?",)},
        {"mistakes_learned": ("other",)},
        {"artifacts": (ARTIFACT,)},
        {"artifacts": (ARTIFACT.model_copy(update={"digest": "1"}),)},
    ],
)
def test_what_dependants_receive_makes_another_result(handoff: dict[str, model.Json]) -> None:
    changed = OUTCOME.model_copy(update={"handoff": OUTCOME.handoff.model_copy(update=handoff)})
    assert digests.result_digest(changed) != digests.result_digest(OUTCOME)


@pytest.mark.parametrize("outcome", [{"output": {"other": 1}}, {"output": None}, {"summary": "other"}])
def test_output_and_summary_are_part_of_a_result(outcome: dict[str, model.Json]) -> None:
    assert digests.result_digest(OUTCOME.model_copy(update=outcome)) != digests.result_digest(OUTCOME)


@pytest.mark.parametrize(
    "outcome",
    [
        {"usage": model.Usage(input_tokens=7)},
        {"unverified": True},
        {"receipts": (model.Receipt(kind="claim", ok=True, detail="d"),)},
        {"retryable": True},
        {"handoff": OUTCOME.handoff.model_copy(update={"messages": (model.Note(to="all", text="hello"),)})},
    ],
)
def test_how_a_result_came_about_does_not_make_it_another_one(outcome: dict[str, model.Json]) -> None:
    assert digests.result_digest(OUTCOME.model_copy(update=outcome)) == digests.result_digest(OUTCOME)


_PAIRS = st.lists(st.tuples(st.sampled_from(["a", "b", "c.1"]), st.sampled_from(["0", "1"])), max_size=4)


@hypothesis.given(_PAIRS, _PAIRS)
def test_work_is_the_same_exactly_if_it_builds_on_the_same_results_in_whatever_order(
    first: list[tuple[str, str]], second: list[tuple[str, str]]
) -> None:
    same = sorted(first) == sorted(second)
    assert (digests.work_key("spec", first) == digests.work_key("spec", reversed(second))) is same
    assert digests.work_key("spec", first) != digests.work_key("other", first)


@hypothesis.given(st.text(), st.text())
def test_two_texts_have_one_digest_only_if_they_are_one(first: str, second: str) -> None:
    assert (digests.digest([first]) == digests.digest([second])) is (first == second)
    assert digests.digest(first) != digests.digest([first])


def test_half_a_pair_of_surrogates_has_a_digest_too() -> None:
    assert len(digests.digest("\ud800")) == len(digests.digest("")) == 64


PLAN = model.Plan(
    id="p",
    version=1,
    title="Shop",
    tasks=(model.Task(id="a", do="Write"), model.Task(id="b", do="Test", deps=("a",))),
)


@pytest.mark.parametrize(
    "change",
    [
        {"version": 2},
        {"title": "Cart"},
        {"tasks": PLAN.tasks[:1]},
        {"tasks": PLAN.tasks[::-1]},
        {"tasks": (PLAN.tasks[0], PLAN.tasks[1].model_copy(update={"goal": "Test it"}))},
        {"tasks": (PLAN.tasks[0], PLAN.tasks[1].model_copy(update={"deps": ()}))},
        {"tasks": (PLAN.tasks[0], PLAN.tasks[1].model_copy(update={"limits": model.TaskLimits(dollars=9.0)}))},
    ],
    ids=["version", "title", "fewer", "order", "goal", "edge", "limit"],
)
def test_a_plan_that_differs_in_anything_has_another_digest(change: dict[str, object]) -> None:
    own = digests.plan_digest(PLAN)
    assert digests.plan_digest(PLAN.model_copy(update=change)) != own
    assert digests.plan_digest(model.Plan.model_validate_json(PLAN.model_dump_json())) == own
