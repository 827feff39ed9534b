"""A raise through the protocol: the client asks its user, in both eras; a client that cannot ask raises nothing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import memory_client
import pytest
from mcp.types import ElicitResult, ErrorData

from dispatch_mcp import composition, configuration

pytestmark = [pytest.mark.anyio, pytest.mark.promise("S18")]

TASKS = ({"id": "page", "do": "Write the page"}, {"id": "foot", "do": "Write the footer", "deps": ["page"]})


def chosen(tmp_path: Path) -> configuration.Settings:
    chosen = memory_client.settings(tmp_path / "home", memory_client.repository(tmp_path / "shop"))
    return chosen.model_copy(update={"max_dollars": 50.0})


class Person:
    """Who answers the client's forms; `meanwhile` happens while they read the first one."""

    def __init__(self, action: str = "accept", decision: str = "raise") -> None:
        self.questions: list[str] = []
        self.action, self.decision = action, decision
        self.meanwhile: Any = None

    async def __call__(self, _context: object, params: Any) -> ElicitResult:
        self.questions.append(params.message)
        if self.meanwhile is not None:
            act, self.meanwhile = self.meanwhile, None
            await act()
        content: Any = {"decision": self.decision} if self.action == "accept" else None
        return ElicitResult(action=self.action, content=content)  # type: ignore[arg-type]


async def begun(desk: memory_client.Desk) -> str:
    answer = await desk.call("dispatch", plan_id=await desk.planned(*TASKS), limits={"dollars": 5, "attempts": 9})
    return str(answer["run_id"])


async def limits_of(desk: memory_client.Desk, run_id: str) -> dict[str, float]:
    limits: dict[str, float] = (await desk.call("get_trace", run_id=run_id))["limits"]
    return limits


async def acts(desk: memory_client.Desk, run_id: str) -> list[dict[str, Any]]:
    timeline = (await desk.call("get_trace", run_id=run_id, view="timeline"))["timeline"]
    return [line["data"] for line in timeline if line["kind"] == "limits_raised"]


@pytest.mark.parametrize("era", memory_client.ERAS)
@pytest.mark.parametrize(
    ("action", "decision", "height"),
    [("accept", "raise", 8), ("accept", "keep", 5), ("decline", "", 5), ("cancel", "", 5)],
)
async def test_only_the_users_word_raises_a_ceiling(
    tmp_path: Path, era: str, action: str, decision: str, height: float
) -> None:
    person = Person(action, decision)
    server = memory_client.make_server(chosen(tmp_path))
    async with memory_client.desk(server, era, elicitation_callback=person) as desk:
        run_id = await begun(desk)
        assert person.questions == []
        if height == 8:
            await desk.call("dispatch", run_id=run_id, limits={"dollars": 8})
        else:
            with pytest.raises(memory_client.Refused, match="Only a person can agree"):
                await desk.call("dispatch", run_id=run_id, limits={"dollars": 8})
        [question] = person.questions
        assert f"run {run_id} (Write the page)" in question
        assert "dollars from 5 to 8." in question
        assert "Spent so far: " in question
        assert "Its plan: version 1, 2 tasks, digest " in question
        assert (await limits_of(desk, run_id))["dollars"] == height
        recorded = [(act["by"], act["raised"]) for act in await acts(desk, run_id)]
        assert recorded == [("the user, asked by the client", [["dollars", 5.0, 8.0]])] * (height == 8)


@pytest.mark.parametrize("era", memory_client.ERAS)
@pytest.mark.parametrize("content", [None, {}, {"raise": "yes"}, {"decision": "raise it"}], ids=str)
async def test_an_answer_in_a_wrong_form_decides_nothing_and_names_the_next_step(
    tmp_path: Path, era: str, content: Any
) -> None:
    async def answer(_context: object, _params: Any) -> ElicitResult:
        return ElicitResult(action="accept", content=content)

    server = memory_client.make_server(chosen(tmp_path))
    async with memory_client.desk(server, era, elicitation_callback=answer) as desk:
        run_id = await begun(desk)
        with pytest.raises(memory_client.Refused, match=r"nothing is decided\. Call again; if") as refusal:
            await desk.call("dispatch", run_id=run_id, limits={"dollars": 8})
        assert "`dispatch-mcp limit RUN NAME=NUMBER` in a terminal" in str(refusal.value)
        assert "esolver" not in str(refusal.value)
        assert (await limits_of(desk, run_id))["dollars"] == 5


async def test_a_client_that_answers_a_question_with_an_error_gets_the_command_that_a_person_runs(
    tmp_path: Path,
) -> None:
    async def refuse(_context: object, _params: Any) -> ErrorData:
        return ErrorData(code=-32603, message="the form broke")

    server = memory_client.make_server(chosen(tmp_path))
    async with memory_client.desk(server, "legacy", elicitation_callback=refuse) as desk:
        run_id = await begun(desk)
        with pytest.raises(memory_client.Refused, match=f"`dispatch-mcp limit {run_id} dollars=8` in a terminal") as no:
            await desk.call("dispatch", run_id=run_id, limits={"dollars": 8})
        assert "the form broke" not in str(no.value)
        assert (await limits_of(desk, run_id))["dollars"] == 5


@pytest.mark.parametrize("era", memory_client.ERAS)
async def test_a_client_that_cannot_ask_gets_the_command_that_a_person_runs(tmp_path: Path, era: str) -> None:
    async with memory_client.desk(memory_client.make_server(chosen(tmp_path)), era) as desk:
        run_id = await begun(desk)
        with pytest.raises(memory_client.Refused, match=f"`dispatch-mcp limit {run_id} dollars=8` in a terminal"):
            await desk.call("dispatch", run_id=run_id, limits={"dollars": 8})
        assert (await limits_of(desk, run_id))["dollars"] == 5
        assert (await desk.call("dispatch", run_id=run_id, limits={"dollars": 4}))["run_id"] == run_id
        assert (await limits_of(desk, run_id))["dollars"] == 4


@pytest.mark.parametrize("era", memory_client.ERAS)
async def test_lowering_and_starting_ask_nobody(tmp_path: Path, era: str) -> None:
    person = Person()
    server = memory_client.make_server(chosen(tmp_path))
    async with memory_client.desk(server, era, elicitation_callback=person) as desk:
        run_id = await begun(desk)
        await desk.call("dispatch", run_id=run_id, limits={"dollars": 3, "tokens": 5_000_000})
        assert person.questions == []
        assert await limits_of(desk, run_id) == {"attempts": 9, "dollars": 3, "tokens": 5_000_000}


@pytest.mark.parametrize("era", memory_client.ERAS)
async def test_an_answer_for_a_plan_that_has_changed_meanwhile_raises_nothing_of_the_new_one(
    tmp_path: Path, era: str
) -> None:
    person, settings = Person(), chosen(tmp_path)
    async with memory_client.desk(memory_client.make_server(settings), era, elicitation_callback=person) as desk:
        run_id = await begun(desk)

        async def edit() -> None:
            person.decision = "keep"
            async with composition.open_dispatcher(settings, purpose=composition.PLAN) as other:
                plan_id = (await other.trace(run_id=run_id)).plan_id
                await other.plans.edit(plan_id, 1, [{"op": "add", "id": "more", "task": {"do": "Write more"}}])
            person.decision = "raise" if era == "legacy" else "keep"

        person.meanwhile, person.decision = edit, "raise"
        with pytest.raises(memory_client.Refused, match="version 2, 3 tasks"):
            await desk.call("dispatch", run_id=run_id, limits={"dollars": 8})
        assert (await limits_of(desk, run_id))["dollars"] == 5
        assert await acts(desk, run_id) == []
        digests = [question.rpartition("digest ")[2] for question in person.questions]
        # The newest protocol asks again about the plan as it is now; an earlier one has no more than the one answer.
        assert len(set(digests)) == (1 if era == "legacy" else 2)


@pytest.mark.parametrize("era", memory_client.ERAS)
async def test_what_is_spent_while_the_user_reads_asks_nothing_again(tmp_path: Path, era: str) -> None:
    person, settings = Person(), chosen(tmp_path)
    async with memory_client.desk(memory_client.make_server(settings), era, elicitation_callback=person) as desk:
        run_id = await begun(desk)

        async def spend() -> None:
            [handout] = (await desk.call("dispatch", run_id=run_id))["assignments"]
            usage = {"input_tokens": 5_000, "output_tokens": 10, "cost_usd": 2.5}
            result = {"task_id": handout["task_id"], "attempt": handout["attempt"], "text": "Done.", "usage": usage}
            await desk.call("report", run_id=run_id, results=[result])

        person.meanwhile = spend
        await desk.call("dispatch", run_id=run_id, limits={"dollars": 8})
        assert len(person.questions) == 1
        assert (await limits_of(desk, run_id))["dollars"] == 8
        await desk.call("dispatch", run_id=run_id, limits={"dollars": 9})
        assert "Spent so far: $2.50, 5010 tokens." in person.questions[1]


async def test_no_argument_stands_for_the_users_word(tmp_path: Path) -> None:
    async with memory_client.desk(memory_client.make_server(chosen(tmp_path))) as desk:
        run_id = await begun(desk)
        for name in ("raise_offer", "raise_answer", "word"):
            with pytest.raises(memory_client.Refused, match=f"takes no '{name}'"):
                await desk.call("dispatch", run_id=run_id, limits={"dollars": 8}, **{name: {"decision": "raise"}})
        with pytest.raises(memory_client.Refused, match="there is no such limit"):
            await desk.call("dispatch", run_id=run_id, limits={"beyond_forecast": True})
        assert (await limits_of(desk, run_id))["dollars"] == 5


async def test_a_raise_beyond_the_configuration_is_refused_and_nobody_is_asked(tmp_path: Path) -> None:
    person = Person()
    server = memory_client.make_server(chosen(tmp_path))
    async with memory_client.desk(server, elicitation_callback=person) as desk:
        run_id = await begun(desk)
        with pytest.raises(memory_client.Refused, match="the configuration allows at most 50"):
            await desk.call("dispatch", run_id=run_id, limits={"dollars": 51})
    assert person.questions == []
