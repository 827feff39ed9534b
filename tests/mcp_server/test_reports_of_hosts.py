"""What real hosts report, through a real client: every usage counts, and one bad entry is refused alone."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

import anyio
import memory_client
import pytest

pytestmark = pytest.mark.anyio

NOTIFICATION = "<usage>total_tokens: 37000\ntool_uses: 3\nduration_ms: 12345</usage>"


@pytest.fixture
async def desk(tmp_path: Path) -> AsyncGenerator[memory_client.Desk]:
    workspace = memory_client.repository(tmp_path / "shop")
    with anyio.fail_after(120):
        async with memory_client.desk(
            memory_client.make_server(memory_client.settings(tmp_path / "home", workspace))
        ) as it:
            yield it


async def started(desk: memory_client.Desk, *names: str, **more: Any) -> str:
    """Returns the run of a task for each name, all of them handed out."""
    tasks = [{"id": name, "do": f"Say what {name} is for", "model": "sonnet"} for name in names]
    return (await desk.call("dispatch", plan_id=await desk.planned(*tasks), **more))["run_id"]


def result(name: str, **fields: Any) -> dict[str, Any]:
    return {"task_id": name, "attempt": 1, "text": f"It is for {name}.", **fields}


async def spend(desk: memory_client.Desk, run_id: str) -> dict[str, Any]:
    return (await desk.call("get_trace", run_id=run_id))["spend"]


async def test_one_bad_entry_is_refused_alone_and_the_wave_goes_on(desk: memory_client.Desk) -> None:
    run_id = await started(desk, "a", "b", "c")
    wave = [result("a"), result("b", usage={"input_tokens": -5}), result("c", usage={"total_tokens": 37_000})]
    answer = await desk.call("report", run_id=run_id, results=wave)
    assert [(line["task_id"], line["accepted"]) for line in answer["results"]] == [
        ("a", True),
        ("b", False),
        ("c", True),
    ]
    refusal = answer["results"][1]
    assert refusal["state"] == "running"
    assert refusal["why"].startswith("results[1].usage.input_tokens is -5;")
    assert answer["next"].startswith("1 entry could not be taken")
    last = await desk.call("report", run_id=run_id, results=[result("b")])
    assert last["state"] == "succeeded"


REFUSED = "The user doesn't want to proceed with this tool use. The tool use was rejected (eg. if it was a file edit)."
FULL = "Concurrent subagent limit reached. You can run 1 subagents at once. Do not retry."
CUT_OFF = "Agent terminated early due to an API error: API Error: 529 Overloaded. (error type server_error)"
STARTED = "Async agent launched successfully. (This tool result is internal metadata.)\nagentId: a65e10"
NOTICE = "<task-notification>\n<status>{}</status>\n<summary>Agent {}</summary>\n{}</task-notification>"


@pytest.mark.parametrize("text", [REFUSED, FULL, STARTED])
@pytest.mark.parametrize("status", [None, "failed"])
async def test_what_says_that_no_work_has_ended_leaves_the_attempt_out(
    desk: memory_client.Desk, text: str, status: str | None
) -> None:
    run_id = await started(desk, "a", "b")
    answer = await desk.call("report", run_id=run_id, results=[result("a", text=text, status=status), result("b")])
    assert [(line["accepted"], line["state"]) for line in answer["results"]] == [
        (False, "running"),
        (True, "unverified"),
    ]
    assert answer["next"].startswith("1 entry could not be taken: do what `why` says")
    with pytest.raises(memory_client.Refused) as alone:
        await desk.call("report", run_id=run_id, results=[result("a", text=text, status=status)])
    assert "An entry is" not in str(alone.value)
    assert (await desk.call("report", run_id=run_id, results=[result("a")]))["state"] == "succeeded"


@pytest.mark.parametrize(
    "text",
    [
        CUT_OFF,
        NOTICE.format("killed", '"a" was stopped by user', ""),
        "You've hit your session limit · resets 3pm (UTC)",
    ],
)
async def test_what_says_that_work_was_cut_off_is_tried_again(desk: memory_client.Desk, text: str) -> None:
    run_id = await started(desk, "a")
    answer = await desk.call("report", run_id=run_id, results=[result("a", text=text)])
    assert (answer["state"], answer["results"][0]["state"]) == ("running", "ready")
    assert answer["results"][0]["why"].startswith("The answer itself reports that the work failed: it is ")


async def test_a_notification_that_is_pasted_whole_is_the_answer_in_it(desk: memory_client.Desk) -> None:
    run_id = await started(desk, "a")
    text = NOTICE.format("completed", '"a" finished', "<result>It is for totals.</result>\n")
    await desk.call("report", run_id=run_id, results=[result("a", text=text)])
    whole = await desk.call("get_trace", run_id=run_id, view="results", task_id="a")
    assert "It is for totals." in json.dumps(whole)
    assert "task-notification" not in json.dumps(whole)


async def test_a_wave_of_bad_entries_only_is_an_error(desk: memory_client.Desk) -> None:
    run_id = await started(desk, "a", "b")
    with pytest.raises(memory_client.Refused, match=r"results\[0\].*results\[1\]"):
        await desk.call("report", run_id=run_id, results=["done", result("b", attempt=0)])
    assert (await desk.call("get_trace", run_id=run_id))["counts"] == {"running": 2}


async def test_a_run_that_is_reported_in_impossible_figures_stays_readable(desk: memory_client.Desk) -> None:
    run_id = await started(desk, "a", "b", "c")
    for usage in ({"input_tokens": 2**62}, {"output_tokens": 2**63}, {"cost_usd": 1.7e308}):
        with pytest.raises(memory_client.Refused, match="possible"):
            await desk.call("report", run_id=run_id, results=[result(name, usage=usage) for name in "abc"])
    assert (await desk.call("report", run_id=run_id, results=[result(name) for name in "abc"]))["state"] == "succeeded"
    assert "runs" in await desk.call("get_trace", view="all")


async def test_tokens_read_from_a_cache_count_and_are_priced_as_such(desk: memory_client.Desk) -> None:
    run_id = await started(desk, "a")
    usage = {"input_tokens": 3, "output_tokens": 9, "cache_read_input_tokens": 90_000, "service_tier": "standard"}
    await desk.call("report", run_id=run_id, results=[result("a", usage=usage)])
    spent = await spend(desk, run_id)
    assert spent["cache_read_tokens"] == 90_000
    assert spent["cost_usd"] == pytest.approx(0.0091, abs=0.0005)


@pytest.mark.parametrize("usage", [{"total_tokens": 37_000}, {"totalTokens": 37_000}, NOTIFICATION])
async def test_a_total_counts_and_nobody_invents_its_price(desk: memory_client.Desk, usage: Any) -> None:
    run_id = await started(desk, "a", limits={"tokens": 5_000_000})
    await desk.call("report", run_id=run_id, results=[result("a", usage=usage)])
    spent = await spend(desk, run_id)
    assert spent["input_tokens"] == 37_000
    assert "cost_usd" not in spent


async def test_a_ceiling_of_tokens_counts_what_was_read_from_a_cache(desk: memory_client.Desk) -> None:
    tasks = [{"id": name, "do": f"Say what {name} is for"} for name in "ab"] + [
        {"id": "c", "do": "Compare them", "deps": ["a", "b"]}
    ]
    plan_id = await desk.planned(*tasks)
    run = await desk.call("dispatch", plan_id=plan_id, limits={"tokens": 20_000_000})
    usage = {"input_tokens": 1, "output_tokens": 1, "cache_read_input_tokens": 10_000_000}
    wave = [result(name, usage=usage) for name in "ab"]
    answer = await desk.call("report", run_id=run["run_id"], results=wave)
    assert answer["state"] == "paused"
    assert not answer.get("assignments")


@pytest.mark.parametrize("status", ["completed", "Done", "failure", "canceled", None])
async def test_the_words_of_hosts_end_a_task(desk: memory_client.Desk, status: str | None) -> None:
    run_id = await started(desk, "a")
    answer = await desk.call("report", run_id=run_id, results=[result("a", status=status, error="It broke")])
    assert answer["results"][0]["accepted"]


async def test_an_attempt_that_never_was_is_called_that_and_the_right_one_is_named(desk: memory_client.Desk) -> None:
    run_id = await started(desk, "a")
    [line] = (await desk.call("report", run_id=run_id, results=[result("a", attempt=7)]))["results"]
    assert not line["accepted"]
    assert line["why"] == "there has been no attempt 7; the newest is 1"
    [line] = (await desk.call("report", run_id=run_id, results=[result("A ", attempt=1)]))["results"]
    assert (line["task_id"], line["accepted"]) == ("a", True)


async def test_an_answer_in_content_blocks_reaches_whoever_builds_on_it(desk: memory_client.Desk) -> None:
    tasks = [{"id": "a", "do": "Say what it is for"}, {"id": "b", "do": "Sum it up", "deps": ["a"]}]
    run = await desk.call("dispatch", plan_id=await desk.planned(*tasks))
    blocks = [{"type": "text", "text": "It sells"}, {"type": "text", "text": "umbrellas."}]
    handoff = json.dumps({"completed_work": "Looked", "decisions_made": ["Umbrellas come first"]})
    wave = [result("a", text=blocks, handoff=handoff)]
    [assignment] = (await desk.call("report", run_id=run["run_id"], results=wave))["assignments"]
    assert "Umbrellas come first" in json.dumps(assignment)
