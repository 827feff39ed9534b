"""What planning adds by default: one council over the whole change, said first, refused for good, and it decides."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any, Final

import anyio
import memory_client
import pytest

pytestmark = pytest.mark.anyio

WRITE: Final[dict[str, Any]] = {"id": "write", "do": "Add a discount to app.py", "files": ["app.py"]}
TELL: Final[dict[str, Any]] = {
    "id": "tell",
    "do": "Describe it",
    "deps": ["write"],
    "files": ["README.md"],
    "agent": "prod-techwriter",
}
LOOK: Final[dict[str, Any]] = {"id": "look", "do": "Find out who calls total()"}
PASS: Final = '{"verdict": "PASS", "files": ["app.py"], "findings": []}'


@pytest.fixture
async def desk(tmp_path: Path) -> AsyncGenerator[memory_client.Desk]:
    chosen = memory_client.settings(tmp_path / "home", memory_client.repository(tmp_path / "shop"))
    chosen = chosen.model_copy(update={"review_policy": "standard"})
    async with memory_client.desk(memory_client.make_server(chosen)) as client:
        yield client


async def refused_by(desk: memory_client.Desk, tool: str, **arguments: Any) -> dict[str, Any]:
    """Returns what a call is refused with."""
    with pytest.raises(memory_client.Refused) as refusal:
        await desk.call(tool, **arguments)
    return json.loads(str(refusal.value))


async def stored(desk: memory_client.Desk, plan_id: str) -> dict[str, dict[str, Any]]:
    """Returns the tasks of a plan by id."""
    return {task["id"]: task for task in json.loads(await desk.read(f"dispatch://plans/{plan_id}"))["tasks"]}


async def test_what_was_added_stands_first_with_the_way_to_refuse_it(desk: memory_client.Desk) -> None:
    answer = await desk.call("plan_dag", tasks=[WRITE, TELL, LOOK])
    assert list(answer)[:2] == ["added", "refuse"]
    [why] = answer["added"].values()
    assert why == "reviews = end, 3 seats"
    assert "op: remove, id: council}" in answer["refuse"]
    tasks = await stored(desk, answer["plan_id"])
    seats = tasks["council"]["joins"]
    assert len(seats) == 3
    assert set(tasks) == {"write", "tell", "look", "council", *seats}
    assert {tuple(tasks[name]["reviews"]) for name in ("council", *seats)} == {("write", "tell")}
    assert not any("council" in task.get("deps", []) for task in tasks.values())
    assert {name for name, task in tasks.items() if set(seats) & set(task.get("deps", []))} == {"council"}


async def test_a_decision_is_refused_by_naming_an_agent_and_not_by_an_edit(tmp_path: Path) -> None:
    chosen = memory_client.settings(tmp_path / "home", memory_client.repository(tmp_path / "shop"))
    strict = chosen.model_copy(update={"review_policy": "strict"})
    doubtful = {"id": "tell", "do": "Zxqw vbnm", "files": ["README.md"]}
    async with memory_client.desk(memory_client.make_server(strict)) as desk:
        answer = await desk.call("plan_dag", tasks=[WRITE, doubtful])
    assert answer["added"]["decision"] == "a person decides: nobody is sure"
    assert "op: remove, id: council}" in answer["refuse"]
    assert "name an agent for what waits for it" in answer["refuse"]


async def test_ordinary_changes_of_named_files_wait_for_no_person(desk: memory_client.Desk) -> None:
    discount = {"id": "discount", "do": "Add a percent discount to total() in app/cart.py", "files": ["app/cart.py"]}
    named = {"id": "name", "do": "Rename the helper in server/api.py", "files": ["server/api.py"]}
    answer = await desk.call("plan_dag", tasks=[discount, named])
    assert answer["added"] == {"council": "reviews = end, 3 seats"}
    assert {answer["tasks"][name]["agent"] for name in ("discount", "name")} == {"general-purpose"}


async def test_a_plan_that_changes_nothing_gains_nothing(desk: memory_client.Desk) -> None:
    answer = await desk.call("plan_dag", tasks=[LOOK, {"id": "log", "do": "Show it", "command": ["git", "ls-files"]}])
    assert "added" not in answer
    assert set(await stored(desk, answer["plan_id"])) == {"look", "log"}


async def test_what_was_refused_does_not_come_back_with_the_next_edit(desk: memory_client.Desk) -> None:
    answer = await desk.call("plan_dag", tasks=[WRITE])
    removals = [{"op": "remove", "id": name} for name in answer["added"]]
    plan_id = answer["plan_id"]
    without = await desk.call("plan_dag", plan_id=plan_id, base_version=1, edits=removals)
    assert "added" not in without
    edit = {"op": "modify", "id": "write", "task": {"output": ["app.py"]}}
    await desk.call("plan_dag", plan_id=plan_id, base_version=2, edits=[edit])
    assert set(await stored(desk, plan_id)) == {"write"}


class Council:
    """A run of one task whose work is done and whose council has been handed out."""

    def __init__(self, desk: memory_client.Desk, shop: Path) -> None:
        self.desk, self.shop = desk, shop
        self.run_id = ""

    async def begin(self, text: str = "def total(items):\n    return sum(items) * 9 // 10\n") -> dict[str, Any]:
        """Returns the answer to the report of the work, with the seats handed out."""
        self.run_id = (await self.desk.call("dispatch", plan_id=await self.desk.planned(WRITE)))["run_id"]
        self.write(text)
        return await self.desk.call("report", run_id=self.run_id, results=[{"task_id": "write", "attempt": 1}])

    def write(self, text: str) -> None:
        (self.shop / "app.py").write_text(text)

    async def say(self, answer: dict[str, Any], *texts: str) -> dict[str, Any]:
        """Returns the answer to what everybody who was handed out in an answer says."""
        handouts = answer["assignments"]
        results = [
            {"task_id": one["task_id"], "attempt": one["attempt"], "text": text}
            for one, text in zip(handouts, texts * len(handouts) if len(texts) == 1 else texts, strict=True)
        ]
        return await self.desk.call("report", run_id=self.run_id, results=results)


@pytest.fixture
def council(desk: memory_client.Desk, tmp_path: Path) -> Council:
    return Council(desk, tmp_path / "shop")


def names(answer: dict[str, Any]) -> list[str]:
    return [one["task_id"] for one in answer["assignments"]]


def size(answer: dict[str, Any]) -> int:
    return len(json.dumps(answer, ensure_ascii=False, separators=(",", ":")))


async def test_a_council_begins_in_fifteen_hundred_characters_with_prompts_that_can_be_opened(
    council: Council,
) -> None:
    started = await council.begin()
    assert size({name: started[name] for name in ("assignments", "briefs", "next")}) <= 1_500
    for one in started["assignments"]:
        [address] = [word for word in one["call"]["prompt"].split() if word.startswith("dispatch://")]
        text = await council.desk.read(address)
        assert "return sum(items) * 9 // 10" in text
        assert "Add a discount to app.py" in text
        file = anyio.Path(started["briefs"]) / f"{one['task_id']}-{one['attempt']}.md"
        assert await file.read_text("utf-8") == text
        others = set(names(started)) - {one["task_id"]}
        assert not [other for other in others if other in text], "nobody is told who else is asked"


async def test_what_every_seat_passes_waits_for_one_who_argues_against_it(council: Council) -> None:
    seats = await council.begin()
    assert len(seats["assignments"]) == 3
    waiting = await council.say(seats, PASS)
    assert (names(waiting), waiting["state"]) == (["council"], "running")
    assert "architecture-strategist" not in await council.desk.read(
        f"dispatch://runs/{council.run_id}/tasks/council/prompt"
    )
    ended = await council.say(waiting, PASS)
    assert ended["state"] == "succeeded"
    assert ended["decision"]["outcome"] == "PASS"
    trace = await council.desk.call("get_trace", run_id=council.run_id, view="results")
    [decision] = [one for one in trace["results"] if one["task_id"] == "council"]
    assert "PASS: Nothing critical or high stands after 4 reviews" in json.dumps(decision)


FINDING: Final = {
    "severity": "critical",
    "file": "app.py",
    "line": 2,
    "quote": "return eval(items)",
    "claim": "It runs",
}
FAIL: Final = json.dumps({"verdict": "FAIL", "findings": [{**FINDING, "evidence": "any text is run"}]})
TODO: Final = json.dumps({"verdict": "PASS", "findings": [{**FINDING, "severity": "medium", "evidence": "slow"}]})


async def test_one_seat_that_objects_sends_the_work_back_and_nobody_argues(council: Council) -> None:
    back = await council.say(await council.begin("def total(items):\n    return eval(items)\n"), FAIL, PASS, TODO)
    assert names(back) == ["write"]
    assert back["decision"]["outcome"] == "BLOCK"
    text = back["assignments"][0]["call"]["prompt"]
    assert "any text is run" in text
    council.write("def total(items):\n    return sum(items) - 1\n")
    again = await council.desk.call("report", run_id=council.run_id, results=[{"task_id": "write", "attempt": 2}])
    assert len(again["assignments"]) == 3
    assert "any text is run" in await council.desk.read(
        f"dispatch://runs/{council.run_id}/tasks/{names(again)[0]}/prompt"
    )
    ended = await council.say(await council.say(again, PASS), PASS)
    assert (ended["state"], ended["counts"]) == ("succeeded", {"succeeded": 4, "unverified": 1})


async def test_what_a_council_leaves_to_do_is_said_once(council: Council) -> None:
    advocate = await council.say(await council.begin("def total(items):\n    return eval(items)\n"), PASS, TODO, PASS)
    await council.say(advocate, PASS)
    trace = await council.desk.call("get_trace", run_id=council.run_id)
    assert trace["follow_ups"] == ["council: 1"]
    assert "get_trace(view='todo')" in trace["next"]
    todo = await council.desk.call("get_trace", run_id=council.run_id, view="todo")
    assert [item["content"] for item in todo["todo"] if "It runs" in item["content"]] == [
        "council: medium: app.py:2: It runs"
    ]


async def test_a_council_without_a_verdict_of_everybody_is_inconclusive(council: Council) -> None:
    once = await council.say(await council.begin(), PASS, "LGTM", PASS)
    assert len(once["assignments"]) == 1
    ended = await council.say(once, "still looks good to me")
    assert ended["state"] == "inconclusive"
    assert ended["decision"] == {"outcome": "INCONCLUSIVE", "why": ended["decision"]["why"]}
    assert "No usable verdict from" in ended["decision"]["why"]
    assert "does not count as passed" in ended["next"]


async def test_a_seat_that_proves_a_fault_blocks_though_another_says_nothing(council: Council) -> None:
    once = await council.say(await council.begin("def total(items):\n    return eval(items)\n"), PASS, "LGTM", FAIL)
    back = await council.say(once, "LGTM")
    assert (names(back), back["decision"]["outcome"]) == (["write"], "BLOCK")


async def test_a_change_that_moves_while_it_is_judged_is_judged_once_more(council: Council) -> None:
    waiting = await council.say(await council.begin(), PASS)
    council.write("def total(items):\n    return eval(items)\n")
    again = await council.say(waiting, PASS)
    assert len(again["assignments"]) == 3
    assert "the change has moved on" in again["results"][0]["why"]
    waiting = await council.say(again, PASS)
    council.write("def total(items):\n    return exec(items)\n")
    ended = await council.say(waiting, PASS)
    assert (ended["state"], ended["decision"]["outcome"]) == ("inconclusive", "INCONCLUSIVE")
    assert "moved on" in ended["decision"]["why"]


GONE: Final = "What was to be reviewed is gone: the workspace holds no change any more."


@pytest.mark.parametrize("rounds_before", [0, 1])
async def test_nobody_passes_a_change_of_which_nothing_is_left(council: Council, rounds_before: int) -> None:
    answer = await council.begin()
    for _ in range(rounds_before):
        answer = await council.say(answer, PASS)
    council.write("def total(items):\n    return sum(items)\n")
    while answer["state"] == "running":
        answer = await council.say(answer, PASS)
    assert (answer["state"], answer["decision"]) == ("inconclusive", {"outcome": "INCONCLUSIVE", "why": GONE})


async def reviewed(tmp_path: Path, work: dict[str, Any], text: str) -> tuple[str, dict[str, Any]]:
    """Returns what a reviewer is shown of work that is undone before anybody looks, and the answer to its PASS."""
    shop = memory_client.repository(tmp_path / "shop")
    review = {"id": "review", "do": "Review it", "reviews": [work["id"]], "deps": [work["id"], "other"]}
    async with memory_client.desk(memory_client.make_server(memory_client.settings(tmp_path / "home", shop))) as desk:
        other = {"id": "other", "do": "Find out who calls it", "deps": [work["id"]]}
        run_id = (await desk.call("dispatch", plan_id=await desk.planned(work, other, review)))["run_id"]
        before = (shop / "app.py").read_text()
        (shop / "app.py").write_text(text or before)
        handoff = {"completed_work": "Done", "files_modified": ["app.py"] if text else []}
        first = {"task_id": work["id"], "attempt": 1, "text": "Done", "handoff": handoff}
        await desk.call("report", run_id=run_id, results=[first])
        (shop / "app.py").write_text(before)
        await desk.call("report", run_id=run_id, results=[{"task_id": "other", "attempt": 1, "text": "Nobody"}])
        prompt = await desk.read(f"dispatch://runs/{run_id}/tasks/review/prompt")
        passing = {"task_id": "review", "attempt": 1, "text": PASS}
        return prompt, await desk.call("report", run_id=run_id, results=[passing])


@pytest.mark.parametrize("files", [["app.py"], ["*.py"]])
async def test_a_reviewer_is_told_that_the_change_is_gone_and_cannot_pass_it(tmp_path: Path, files: list[str]) -> None:
    prompt, answer = await reviewed(tmp_path, {**WRITE, "files": files}, "def total(items):\n    return 1\n")
    assert f"{GONE} Nobody can pass it." in prompt
    assert answer["state"] == "inconclusive"
    assert GONE in json.dumps(answer)


async def test_work_that_changed_nothing_is_passed_by_its_results(tmp_path: Path) -> None:
    prompt, answer = await reviewed(tmp_path, LOOK, "")
    assert "No changed line was found" in prompt
    assert answer["state"] == "succeeded"


CHANGES: Final[list[dict[str, Any]]] = [
    {"agent": "coder"},
    {"do": "Say PASS"},
    {"acceptance": ["file:README.md"]},
    {"joins": []},
]


async def test_nobody_whom_a_council_judges_can_change_who_sits_in_it(desk: memory_client.Desk) -> None:
    plan_id = await desk.planned(WRITE)
    tasks = await stored(desk, plan_id)
    seat = tasks["council"]["joins"][0]
    for name in (seat, "council"):
        for change in CHANGES:
            edit: dict[str, Any] = {"op": "modify", "id": name, "task": change}
            refused = await refused_by(desk, "plan_dag", plan_id=plan_id, base_version=1, edits=[edit])
            assert refused["errors"][0]["code"] == "needs_person"
    refused = await refused_by(desk, "plan_dag", plan_id=plan_id, base_version=1, edits=[{"op": "remove", "id": seat}])
    assert "Remove 'council'" in refused["errors"][0]["fix"]


async def test_a_council_that_was_asked_again_is_not_taken_out_by_an_edit(council: Council) -> None:
    once = await council.say(await council.begin(), "LGTM")
    await council.say(once, "LGTM")
    await council.desk.call("steer_run", run_id=council.run_id, action="retry", task_id="council")
    plan_id = (await council.desk.call("get_trace", run_id=council.run_id))["plan_id"]
    remove = [{"op": "remove", "id": "council"}]
    refused = await refused_by(council.desk, "plan_dag", plan_id=plan_id, base_version=1, edits=remove)
    assert {problem["code"] for problem in refused["errors"]} == {"needs_person"}
    asked = await council.desk.call("dispatch", run_id=council.run_id)
    assert len(asked["assignments"]) == 3


BLOCK: Final = json.dumps(
    {
        "verdict": "FAIL",
        "files": ["app.py"],
        "findings": [
            {
                "severity": "critical",
                "file": "app.py",
                "line": 2,
                "quote": "return sum(items) * 9 // 10",
                "claim": "Prices are cut.",
                "evidence": "total([10]) is 9",
                "fix": "Round",
            }
        ],
    }
)


@pytest.mark.parametrize("is_open", [False, True])
async def test_a_review_that_has_objected_is_taken_out_by_no_edit_after_the_run_was_cancelled(
    council: Council, *, is_open: bool
) -> None:
    await council.say(await council.begin(), BLOCK)
    plan_id = (await council.desk.call("get_trace", run_id=council.run_id))["plan_id"]
    await council.desk.call("steer_run", run_id=council.run_id, action="cancel")
    if is_open:
        again = await council.desk.call("dispatch", plan_id=plan_id, request_key="again", worker="host")
        assert again["run_id"] != council.run_id
    remove = [{"op": "remove", "id": "council"}]
    refused = await refused_by(council.desk, "plan_dag", plan_id=plan_id, base_version=1, edits=remove)
    assert {problem["code"] for problem in refused["errors"]} == {"needs_person"}


async def test_one_council_looks_at_however_much_work_there_is(desk: memory_client.Desk) -> None:
    work: list[dict[str, Any]] = [
        {"id": f"t{number}", "do": "Write it", "files": [f"{number}.py"]} for number in range(12)
    ]
    tasks = await stored(desk, await desk.planned(*work))
    councils = [task for task in tasks.values() if task.get("joins")]
    assert [len(council["joins"]) for council in councils] == [3]
    assert set(councils[0]["reviews"]) == {task["id"] for task in work}


async def test_a_plan_of_six_tasks_is_answered_in_twelve_hundred_characters(desk: memory_client.Desk) -> None:
    tasks = [
        {"id": f"part-{number}", "do": f"Write part {number} and test it", "files": [f"part{number}.py"]}
        for number in range(1, 7)
    ]
    answer = await desk.call("plan_dag", tasks=tasks)
    assert answer["added"]
    assert size(answer) <= 1_200


async def test_the_council_is_shown_a_declared_file_that_git_ignores(council: Council) -> None:
    (council.shop / ".git/info/exclude").write_text("limits.local\n")
    work = {**WRITE, "files": ["app.py", "limits.local"], "acceptance": ["diff"]}
    council.run_id = (await council.desk.call("dispatch", plan_id=await council.desk.planned(work)))["run_id"]
    council.write("def total(items):\n    return sum(items) * 9 // 10\n")
    (council.shop / "limits.local").write_text("LIMIT = eval(input())\n")
    done = {"task_id": "write", "attempt": 1, "text": "done"}
    seats = await council.desk.call("report", run_id=council.run_id, results=[done])
    for seat in names(seats):
        assert "+LIMIT = eval(input())" in await council.desk.read(
            f"dispatch://runs/{council.run_id}/tasks/{seat}/prompt"
        )
    fault = {**FINDING, "file": "limits.local", "line": 1, "quote": "LIMIT = eval(input())", "evidence": "any text"}
    back = await council.say(seats, json.dumps({"verdict": "FAIL", "findings": [fault]}))
    assert (names(back), back["decision"]["outcome"]) == (["write"], "BLOCK")
