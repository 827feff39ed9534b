"""Who does the tasks of a plan that name nobody."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

import pytest

from dispatch_mcp import model
from dispatch_mcp.agents import catalog
from dispatch_mcp.planning import agent_choice
from dispatch_mcp.routing import confidence, router

BAKER: Final = catalog.Agent(name="baker", description="Bakes bread, rolls and cakes", roster="kitchen")
LOOKER: Final = catalog.Agent(
    name="looker", description="Reads code", roster="kitchen", tools=("Read", "Grep"), keywords=("look",)
)
HELPER: Final = catalog.Agent(
    name="helper", description="Does ordinary work", roster=catalog.HOST_ROSTER, fallback=True, tools=("Read", "Write")
)
KITCHEN: Final = catalog.merge([BAKER, LOOKER])
EVERYBODY: Final = catalog.merge([BAKER, LOOKER, HELPER])


def assigned(
    agents: catalog.Catalog, do: str, fields: Mapping[str, object] = MappingProxyType({}), *, general: str = ""
) -> agent_choice.AgentAssignment:
    choice = agent_choice.AgentChoice(
        agents, router.NO_HISTORY, confidence.Bands(), lambda _task: "judge", general=general
    )
    return choice.assign([model.Task.model_validate({"id": "a", "do": do, **fields})])


def test_a_task_that_a_specialist_claims_is_his() -> None:
    answer = assigned(EVERYBODY, "Bake bread, rolls and two cakes")
    assert answer.tasks[0].agent == "baker"
    assert answer.choices["a"]["agent"] == "baker"
    assert not answer.notices


@pytest.mark.parametrize(("least", "is_shown"), [(0.0, False), (0.8, False), (0.999, True)])
def test_how_sure_a_choice_is_stands_where_it_is_below_what_goes_without_supervision(
    least: float, *, is_shown: bool
) -> None:
    bands = confidence.Bands(direct=1.0, review=least, supervise=0.0)
    choice = agent_choice.AgentChoice(EVERYBODY, router.NO_HISTORY, bands, lambda _task: "")
    task = model.Task(id="a", do="Bake bread, rolls and two cakes")
    assert ("conf" in choice.assign([task]).choices["a"]) is is_shown


@pytest.mark.parametrize("do", ["Sort out the leftovers", "Write something nice", "Finish the job"])
@pytest.mark.parametrize(("agents", "general"), [(EVERYBODY, ""), (KITCHEN, "helper")], ids=["own", "of all"])
def test_what_nobody_claims_goes_to_the_general_agent_and_is_told_and_asks_no_person(
    agents: catalog.Catalog, general: str, do: str
) -> None:
    answer = assigned(agents, do, general=general)
    assert answer.tasks[0].agent == "helper"
    assert "conf" not in answer.choices["a"]
    assert "a" not in answer.strategies
    assert [notice.code for notice in answer.notices] == ["low_confidence_route"]
    assert answer.choices["a"]["agent"] == "helper"


def test_a_review_that_nobody_claims_does_not_go_to_who_builds() -> None:
    for agents, general in ((EVERYBODY, ""), (KITCHEN, "helper")):
        assert assigned(agents, "Review the leftovers", general=general).tasks[0].agent != "helper"


@pytest.mark.parametrize(
    ("do", "fields", "agent"),
    [
        ("Look at the code once more", {}, "looker"),
        ("Look at the code once more", {"reads": ["cart.py"]}, "looker"),
        ("Look at the code once more", {"files": ["cart.py"]}, "helper"),
        ("Review the code: look at it", {"files": ["cart.py"]}, "looker"),
    ],
    ids=["no files", "reads", "writes", "a review of files"],
)
def test_a_task_that_names_files_to_write_does_not_go_to_who_cannot_write(
    do: str, fields: dict[str, object], agent: str
) -> None:
    assert assigned(EVERYBODY, do, fields).tasks[0].agent == agent


def test_without_a_general_agent_a_task_stays_open_and_is_told() -> None:
    answer = assigned(KITCHEN, "Sort out the leftovers")
    assert answer.tasks[0].agent is None
    assert answer.notices


@pytest.mark.parametrize("fields", [{"agent": "baker"}, {"command": ["ls"]}, {"worker": "human"}], ids=list)
def test_a_task_that_says_who_does_it_keeps_that(fields: dict[str, object]) -> None:
    answer = assigned(EVERYBODY, "Sort out the leftovers", fields)
    assert answer.tasks[0].agent == fields.get("agent")
    assert not answer.choices


def test_several_tasks_without_a_specialist_are_told_in_one_sentence() -> None:
    choice = agent_choice.AgentChoice(EVERYBODY, router.NO_HISTORY, confidence.Bands(), lambda _task: "")
    tasks = [model.Task.model_validate({"id": name, "do": "Sort out the leftovers"}) for name in "ab"]
    (notice,) = choice.assign(tasks).notices
    assert notice.tasks == ("a", "b")
    assert notice.message == agent_choice.NO_SPECIALIST
