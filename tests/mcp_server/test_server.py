"""The MCP face through a real client, in both protocol eras."""

from __future__ import annotations

import json
import os
import re
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

import anyio
import memory_client
import pytest
from mcp import MCPError
from mcp.types import INVALID_PARAMS, PromptReference, ResourceTemplateReference

from dispatch_mcp.mcp_server import tool_arguments, tools
from dispatch_mcp.planning.drafts import patterns

pytestmark = pytest.mark.anyio

NAMES = [
    "route_task",
    "plan_dag",
    "dispatch",
    "report",
    "review_council",
    "get_trace",
    "steer_run",
    "message_agents",
]
SNAPSHOT = Path(__file__).parent / "snapshots" / "tools.json"
LOOK = {"id": "look", "do": "List the last commits", "command": ["git", "log", "--oneline"]}
WRITE = {"id": "write", "do": "Write the basket module", "files": ["basket.py"]}
STYLE = {"id": "style", "do": "Write the style guide", "files": ["STYLE.md"]}
CHECK = {"id": "check", "do": "List the files", "deps": ["write", "style", "look"], "command": ["git", "ls-files"]}
SUMMARY = {"id": "sum-up", "do": "Say what was built", "deps": ["check"]}


@pytest.fixture(params=memory_client.ERAS)
async def desk(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncGenerator[memory_client.Desk]:
    workspace = memory_client.repository(tmp_path / "shop")
    with anyio.fail_after(120):
        async with memory_client.desk(
            memory_client.make_server(memory_client.settings(tmp_path / "home", workspace)), request.param
        ) as it:
            yield it


def compact(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def success(assignment: dict[str, Any], text: str = "Done; see the file.") -> dict[str, Any]:
    return {"task_id": assignment["task_id"], "attempt": assignment["attempt"], "status": "succeeded", "text": text}


async def test_the_tools_are_the_eight_and_cost_little(desk: memory_client.Desk) -> None:
    tools = (await desk.client.list_tools()).tools
    assert [tool.name for tool in tools] == NAMES
    size = sum(len(tool.name) + len(tool.description or "") + len(compact(tool.input_schema)) for tool in tools)
    instructions = desk.client.instructions or ""
    print(f"tools/list {size} characters of 9000, instructions {len(instructions)} of 1500")  # noqa: T201  # the figures
    assert size <= 9000
    assert 0 < len(instructions) <= 1500


async def test_a_model_that_reads_only_the_schema_or_the_instructions_learns_to_ask_for_proof(
    desk: memory_client.Desk,
) -> None:
    plan_dag = next(tool for tool in (await desk.client.list_tools()).tools if tool.name == "plan_dag")
    fields = plan_dag.input_schema["properties"]["tasks"]["items"]["properties"]
    assert {"acceptance", "timeout_s", "attempts"} <= fields.keys()
    assert "human" in fields["worker"]["enum"]
    assert "command:" in fields["acceptance"]["description"]
    instructions = desk.client.instructions or ""
    assert all(word in instructions for word in ("acceptance", "command: pytest", "timeout_s", "attempts", "human"))


async def test_the_definition_of_the_tool_for_plans_stays_within_450_tokens(desk: memory_client.Desk) -> None:
    tool = next(tool for tool in (await desk.client.list_tools()).tools if tool.name == "plan_dag")
    definition = {"name": tool.name, "description": tool.description, "inputSchema": tool.input_schema}
    # `make bench-planning` counts with a real vocabulary; of this text 4.16 characters are a token.
    assert len(compact(definition)) <= 1_870


@pytest.mark.promise("S2")
async def test_no_tool_has_an_argument_that_asks_for_a_secret(desk: memory_client.Desk) -> None:
    schemas = [tool.input_schema for tool in (await desk.client.list_tools()).tools]
    found = set(re.findall(r'"(\w+)": ', json.dumps(schemas)))
    assert len(found) > 30
    secret = re.compile(r"password|secret|api_?key|token(?!s)|credential|authorization", re.IGNORECASE)
    assert [name for name in sorted(found) if secret.search(name)] == []


@pytest.mark.promise("S16")
async def test_names_descriptions_and_schemas_change_only_on_purpose(desk: memory_client.Desk) -> None:
    tools = (await desk.client.list_tools()).tools
    found = [
        {
            "name": tool.name,
            "title": tool.title,
            "description": tool.description,
            "inputSchema": tool.input_schema,
            "annotations": tool.annotations.model_dump(mode="json", by_alias=True) if tool.annotations else None,
            "meta": tool.meta,
        }
        for tool in tools
    ]
    text = json.dumps({"instructions": desk.client.instructions, "tools": found}, indent=2, sort_keys=True) + "\n"
    if os.environ.get("RENEW_SNAPSHOTS"):
        SNAPSHOT.write_text(text, encoding="utf-8")
    assert text == SNAPSHOT.read_text(encoding="utf-8"), (
        "What assistants see of the tools has changed. If that is meant, say so in CHANGELOG.md and renew it: "
        "RENEW_SNAPSHOTS=1 pytest tests/mcp_server/test_server.py -k on_purpose"
    )


async def test_annotations_say_what_cancels_and_what_reaches_beyond_this_machine(desk: memory_client.Desk) -> None:
    hints = {tool.name: tool.annotations for tool in (await desk.client.list_tools()).tools}
    assert {name for name, hint in hints.items() if hint and hint.destructive_hint} == {"steer_run"}
    beyond = {name for name, hint in hints.items() if hint and hint.open_world_hint}
    assert beyond == {"dispatch", "report", "review_council", "steer_run"}


async def test_what_only_reads_says_so_and_no_schema_is_loaded_before_it_is_needed(desk: memory_client.Desk) -> None:
    tools = {tool.name: tool for tool in (await desk.client.list_tools()).tools}
    reading = {name for name, tool in tools.items() if tool.annotations and tool.annotations.read_only_hint}
    assert reading == {"route_task", "get_trace"}
    assert [name for name, tool in tools.items() if (tool.meta or {}).get("anthropic/alwaysLoad")] == []
    assert all((tool.meta or {}).get("anthropic/searchHint") for tool in tools.values())


@pytest.mark.promise("R15")
async def test_the_lists_are_the_same_bytes_for_every_server(tmp_path: Path) -> None:
    seen: set[str] = set()
    workspace = memory_client.repository(tmp_path / "shop")
    for name in ("one", "two"):
        async with memory_client.desk(
            memory_client.make_server(memory_client.settings(tmp_path / name, workspace))
        ) as desk:
            lists = [await desk.client.list_tools(), await desk.client.list_prompts()]
            lists += [await desk.client.list_resources(), await desk.client.list_resource_templates()]
            seen.add("".join(found.model_dump_json() for found in lists))
    assert len(seen) == 1


async def test_a_request_goes_all_the_way_from_route_to_results(desk: memory_client.Desk, tmp_path: Path) -> None:
    route = await desk.call("route_task", task="Add pagination to the orders REST API in Django")
    assert 0 <= route["confidence"] <= 1
    plan = await desk.call("plan_dag", request="Build the basket", tasks=[LOOK, WRITE, STYLE, CHECK, SUMMARY])
    assert plan["ok"]
    run = await desk.call("dispatch", plan_id=plan["plan_id"])
    run_id = run["run_id"]
    assert {one["task_id"] for one in run["assignments"]} == {"write", "style"}
    call = run["assignments"][0]["call"]
    assert {"subagent_type", "description", "prompt", "run_in_background"} <= call.keys()
    assert "GOAL" in call["prompt"]

    for name in ("basket.py", "STYLE.md"):
        (tmp_path / "shop" / name).write_text("new\n")
    wave = await desk.call("report", run_id=run_id, results=[success(one) for one in run["assignments"]])
    assert [(one["task_id"], one["accepted"]) for one in wave["results"]] == [("write", True), ("style", True)]
    assert {one["state"] for one in wave["results"]} == {"unverified"}

    waited = await desk.call("get_trace", run_id=run_id, wait_s=45)
    assert waited["counts"]["ready"] == 1, "the command ran here, and the wait ended when the host was needed"
    again = await desk.call("dispatch", run_id=run_id)
    assert again["reused"]
    [last] = again["assignments"]
    assert last["task_id"] == "sum-up"
    end = await desk.call("report", run_id=run_id, results=[success(last, "The basket is built.")])
    assert end["state"] == "succeeded"
    assert "UNVERIFIED" in end["next"]

    results = await desk.call("get_trace", run_id=run_id, view="results")
    assert {one["task_id"]: one["state"] for one in results["results"]} == {
        "look": "succeeded",
        "write": "unverified",
        "style": "unverified",
        "check": "succeeded",
        "sum-up": "unverified",
    }
    whole = await desk.call("get_trace", run_id=run_id, task_id="look")
    assert "Begin the shop" in compact(whole["results"])
    todo = await desk.call("get_trace", run_id=run_id, view="todo")
    assert {item["status"] for item in todo["todo"]} == {"completed"}
    picture = await desk.call("get_trace", run_id=run_id, view="mermaid")
    assert picture["text"].startswith("flowchart")
    timeline = await desk.call("get_trace", run_id=run_id, view="timeline")
    assert [event["seq"] for event in timeline["timeline"]] == sorted(event["seq"] for event in timeline["timeline"])
    assert (await desk.call("get_trace")).get("runs", []) == []
    everything = await desk.call("get_trace", view="all")
    assert [one["run_id"] for one in everything["runs"]] == [run_id]


@pytest.mark.promise("R7")
async def test_fifty_calls_with_one_key_start_one_run(desk: memory_client.Desk) -> None:
    plan_id = await desk.planned(WRITE)
    answers: list[dict[str, Any]] = []
    slots = anyio.CapacityLimiter(8)

    async def issue() -> None:
        async with slots:
            answers.append(await desk.call("dispatch", plan_id=plan_id, request_key="turn-7"))

    async with anyio.create_task_group() as group:
        for _ in range(50):
            group.start_soon(issue)
    assert len({answer["run_id"] for answer in answers}) == 1
    assert sum(not answer.get("reused", False) for answer in answers) == 1
    assert {one["attempt"] for answer in answers for one in answer["assignments"]} == {1}
    assert len((await desk.call("get_trace", view="all"))["runs"]) == 1


async def test_the_same_call_without_a_key_finds_the_open_run(desk: memory_client.Desk) -> None:
    plan_id = await desk.planned(WRITE)
    first = await desk.call("dispatch", plan_id=plan_id)
    second = await desk.call("dispatch", plan_id=plan_id)
    assert second["run_id"] == first["run_id"]
    assert second["reused"]


@pytest.mark.promise("R3")
async def test_a_repeated_report_is_fenced_with_a_reason(desk: memory_client.Desk, tmp_path: Path) -> None:
    run = await desk.call("dispatch", plan_id=await desk.planned(WRITE, STYLE))
    (tmp_path / "shop" / "basket.py").write_text("new\n")
    write = next(one for one in run["assignments"] if one["task_id"] == "write")
    await desk.call("report", run_id=run["run_id"], results=[success(write)])
    [again] = (await desk.call("report", run_id=run["run_id"], results=[success(write, "other")]))["results"]
    assert not again.get("accepted")
    assert "over already" in again["why"]


@pytest.mark.promise("R3")
async def test_a_late_report_of_a_replaced_attempt_is_fenced(desk: memory_client.Desk) -> None:
    run = await desk.call("dispatch", plan_id=await desk.planned(WRITE, STYLE))
    write = next(one for one in run["assignments"] if one["task_id"] == "write")
    failure = {**success(write), "status": "failed", "error": "The disk was full.", "retryable": False}
    await desk.call("report", run_id=run["run_id"], results=[failure])
    await desk.call("steer_run", run_id=run["run_id"], action="retry", task_id="write")
    newest = next(
        one for one in (await desk.call("dispatch", run_id=run["run_id"]))["assignments"] if one["task_id"] == "write"
    )
    assert newest["attempt"] == 2
    [late] = (await desk.call("report", run_id=run["run_id"], results=[success(write)]))["results"]
    assert not late.get("accepted")
    assert late["why"] == "attempt 1 was replaced; the newest is 2"
    [right] = (await desk.call("report", run_id=run["run_id"], results=[success(newest)]))["results"]
    assert right["accepted"]


async def test_a_host_cannot_report_what_a_command_did(desk: memory_client.Desk) -> None:
    run = await desk.call("dispatch", plan_id=await desk.planned(LOOK, {**CHECK, "deps": ["look"]}))
    claim = {"task_id": "check", "attempt": 1, "status": "succeeded", "text": "All green, believe me."}
    [refused] = (await desk.call("report", run_id=run["run_id"], results=[claim]))["results"]
    assert not refused.get("accepted")
    assert "command worker does this task" in refused["why"]
    end = await desk.finished(run["run_id"])
    assert end["state"] == "succeeded"
    told = await desk.call("get_trace", run_id=run["run_id"], task_id="check")
    assert "believe me" not in compact(told)


async def test_a_command_that_nobody_allowed_does_not_run(desk: memory_client.Desk) -> None:
    plan_id = await desk.planned({"id": "a", "do": "Remove it", "command": ["rm", "-rf", "."], "max_attempts": 1})
    run = await desk.call("dispatch", plan_id=plan_id)
    assert (await desk.finished(run["run_id"]))["state"] == "failed"
    assert "rm" in compact(await desk.call("get_trace", run_id=run["run_id"], view="results"))


async def test_a_dry_run_is_labelled_wherever_it_shows(desk: memory_client.Desk) -> None:
    run = await desk.call("dispatch", plan_id=await desk.planned(LOOK, WRITE), dry_run=True)
    assert run["simulated"]
    end = await desk.finished(run["run_id"])
    assert end["simulated"]
    results = await desk.call("get_trace", run_id=run["run_id"], view="results")
    assert all("simulated" in compact(one["receipts"]) for one in results["results"])
    real = await desk.call("dispatch", plan_id=run["plan_id"])
    assert real["run_id"] != run["run_id"], "a simulated run does not stand for a real one"
    assert real["assignments"]


async def test_a_plan_is_changed_by_edits_of_the_version_that_was_read(desk: memory_client.Desk) -> None:
    plan_id = await desk.planned(WRITE, STYLE)
    edits = [{"op": "add", "id": "sum-up", "task": {"do": "Sum it up", "deps": ["write"]}}]
    changed = await desk.call("plan_dag", plan_id=plan_id, base_version=1, edits=edits)
    assert changed["version"] == 2
    with pytest.raises(memory_client.Refused, match="is at version 2, not 1"):
        await desk.call("plan_dag", plan_id=plan_id, base_version=1, edits=edits)
    run = await desk.call("dispatch", plan_id=plan_id)
    assert run["plan_version"] == 2


async def test_a_wrong_plan_is_refused_with_every_problem_and_none_is_stored(desk: memory_client.Desk) -> None:
    tasks = [
        {"id": "a", "do": "x", "deps": ["b"]},
        {"id": "b", "do": "y", "deps": ["a"]},
        {"id": "c", "do": "z", "deps": ["nowhere"]},
        {"id": "c", "do": "again"},
    ]
    result = await desk.client.call_tool("plan_dag", {"tasks": tasks})
    assert result.is_error
    assert result.structured_content is not None
    codes = {problem["code"] for problem in result.structured_content["errors"]}
    assert len(codes) >= 3, codes
    assert all(problem.get("fix") or problem.get("message") for problem in result.structured_content["errors"])


async def test_a_run_is_paused_resumed_and_cancelled(desk: memory_client.Desk) -> None:
    run_id = (await desk.call("dispatch", plan_id=await desk.planned(WRITE, STYLE)))["run_id"]
    for action, state in (("pause", "paused"), ("resume", "running"), ("cancel", "cancelled")):
        assert (await desk.call("steer_run", run_id=run_id, action=action))["state"] == state


async def test_a_note_reaches_its_recipient_once(desk: memory_client.Desk) -> None:
    run_id = (await desk.call("dispatch", plan_id=await desk.planned(WRITE)))["run_id"]
    await desk.call("message_agents", run_id=run_id, action="send", recipient="write", text="Prices are in cents.")
    [note] = (await desk.call("message_agents", run_id=run_id, action="inbox", recipient="write"))["messages"]
    assert note["text"] == "Prices are in cents."
    assert not (await desk.call("message_agents", run_id=run_id, action="inbox", recipient="write")).get("messages")


async def test_the_council_passes_nothing_when_there_is_nothing(desk: memory_client.Desk) -> None:
    found = await desk.call("review_council", diff="diff --git a/x b/x\nold mode 100644\nnew mode 100755\n")
    assert found["outcome"] == "NOTHING_TO_REVIEW"
    assert found["blocks"]


async def test_every_prompt_can_be_had_with_its_arguments(desk: memory_client.Desk) -> None:
    prompts = (await desk.client.list_prompts()).prompts
    names = {prompt.name for prompt in prompts}
    assert {"orchestrate", "dispatch-task", "research-plan-execute", "review", "handoff", "resume"} <= names
    assert {"routing-analysis", "results-report", "subagent-activation"} <= names
    assert {f"pattern-{pattern.name}" for pattern in patterns.PATTERNS} <= names
    for prompt in prompts:
        given = {argument.name: f"the {argument.name}" for argument in prompt.arguments or []}
        found = await desk.client.get_prompt(prompt.name, given)
        assert getattr(found.messages[0].content, "text", "").strip()
        assert prompt.description


async def test_the_task_prompt_has_its_four_sections(desk: memory_client.Desk) -> None:
    prompt = next(one for one in (await desk.client.list_prompts()).prompts if one.name == "dispatch-task")
    given = {argument.name: f"the {argument.name}" for argument in prompt.arguments or []}
    text = getattr((await desk.client.get_prompt(prompt.name, given)).messages[0].content, "text", "")
    places = [text.index(section) for section in ("GOAL", "CONSTRAINTS", "CONTEXT", "OUTPUT")]
    assert places == sorted(places)


@pytest.mark.parametrize(
    ("name", "given"), [("no-such-prompt", {}), ("dispatch-task", {}), ("dispatch-task", {"nonsense": "x"})]
)
async def test_a_wrong_prompt_call_is_the_callers_error(
    desk: memory_client.Desk, name: str, given: dict[str, str]
) -> None:
    with pytest.raises(MCPError) as wrong:
        await desk.client.get_prompt(name, given)
    assert memory_client.codes(wrong.value) == INVALID_PARAMS


async def test_arguments_are_completed(desk: memory_client.Desk) -> None:
    plan_id = await desk.planned(WRITE)
    prompt = PromptReference(type="ref/prompt", name="dispatch-task")
    agents = await desk.client.complete(prompt, {"name": "agent", "value": "back"})
    assert agents.completion.values
    assert all("back" in name for name in agents.completion.values)
    plans = ResourceTemplateReference(type="ref/resource", uri="dispatch://plans/{plan_id}")
    assert (await desk.client.complete(plans, {"name": "plan_id", "value": ""})).completion.values == [plan_id]
    nothing = await desk.client.complete(prompt, {"name": "goal", "value": "x"})
    assert nothing.completion.values == []


async def test_documents_are_readable_from_the_first_day(desk: memory_client.Desk) -> None:
    listed = {str(resource.uri) for resource in (await desk.client.list_resources()).resources}
    wanted = {"dispatch://templates/dispatch-task", "dispatch://templates/dispatch-task-example"}
    wanted |= {f"dispatch://templates/pattern-{pattern.name}" for pattern in patterns.PATTERNS}
    wanted |= {"dispatch://patterns/decision-matrix", "dispatch://agents"}
    assert wanted <= listed
    for uri in sorted(listed):
        assert (await desk.read(uri)).strip(), uri
    assert "GOAL" in await desk.read("dispatch://templates/dispatch-task-example")
    agents = json.loads(await desk.read("dispatch://agents"))
    one = json.loads(await desk.read(f"dispatch://agents/{agents[0]['name']}"))
    assert one["name"] == agents[0]["name"]
    card = json.loads(await desk.read(f"dispatch://agents/{agents[0]['name']}/card"))
    assert card["skills"]
    assert card["capabilities"]["extensions"][0]["params"]["status"] == "idle"


async def test_plans_runs_traces_briefs_and_results_are_readable(desk: memory_client.Desk, tmp_path: Path) -> None:
    plan_id = await desk.planned(LOOK, WRITE)
    run_id = (await desk.call("dispatch", plan_id=plan_id))["run_id"]
    assert json.loads(await desk.read(f"dispatch://plans/{plan_id}"))["id"].startswith(plan_id)
    assert json.loads(await desk.read(f"dispatch://runs/{run_id}"))["run_id"] == run_id
    assert json.loads(await desk.read(f"dispatch://runs/{run_id}/trace"))["timeline"]
    assert "Write the basket module" in await desk.read(f"dispatch://runs/{run_id}/tasks/write/prompt")
    (tmp_path / "shop" / "basket.py").write_text("new\n")
    wave = [{"task_id": "write", "attempt": 1, "text": "Written."}]
    await desk.call("report", run_id=run_id, results=wave)
    await desk.finished(run_id)
    assert "Begin the shop" in await desk.read(f"dispatch://runs/{run_id}/tasks/look/result")


@pytest.mark.parametrize(
    "uri",
    [
        "dispatch://nothing",
        "dispatch://agents/nobody",
        "dispatch://plans/nothing",
        "dispatch://runs/nothing",
        "dispatch://runs/nothing/trace",
        "dispatch://runs/nothing/tasks/a/prompt",
        "dispatch://runs/nothing/tasks/a/result",
        "dispatch://templates/..%2Fsecret",
        "file:///etc/passwd",
    ],
)
async def test_an_unknown_resource_is_the_callers_error(desk: memory_client.Desk, uri: str) -> None:
    with pytest.raises(MCPError) as wrong:
        await desk.read(uri)
    assert memory_client.codes(wrong.value) == INVALID_PARAMS


def test_every_tool_of_the_store_has_words_and_a_model() -> None:
    assert list(tools.HANDLERS) == list(tool_arguments.TOOLS) == NAMES
