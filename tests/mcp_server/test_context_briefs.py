"""What reaches the brief of a task: its predecessors' handoffs and the right parts of a real repository."""

from __future__ import annotations

import json
import re
import stat
import subprocess
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

import memory_client
import pytest
from mcp import Client

from dispatch_mcp.runs import prompt_builder
from dispatch_mcp.text import token_count

pytestmark = pytest.mark.anyio

BUDGET = 5_000
CANARY = "kestrel-7731"
FIELDS = ("street", "city", "country", "email", "phone", "vat", "note", "currency", "state", "label")


def function(name: str, number: int) -> str:
    """Returns a function that has some words in common with the task, as most of a repository does."""
    body = [f'    order["{name}_{field}"] = value  # shown below the total' for field in FIELDS]
    head = f"def {name}_{FIELDS[number]}(order, value):"
    return "\n".join([head, f'    """Sets what an invoice says of {FIELDS[number]}."""', *body, "    return order", ""])


def repository(folder: Path) -> Path:
    """Makes a shop of sixty modules, one of which computes the totals of invoices, and a page with a canary."""
    repo = memory_client.repository(folder)
    (repo / "shop").mkdir()
    (repo / "frontend").mkdir()
    for number in range(60):
        (repo / "shop" / f"part{number}.py").write_text("\n\n".join(function(f"part{number}", n) for n in range(8)))
    (repo / "shop" / "invoices.py").write_text(
        "def invoice_total(items, tax_rate):\n"
        '    """Returns the total of an invoice with tax, rounded to cents."""\n'
        "    return round(sum(items) * (1 + tax_rate), 2)\n"
    )
    page = f"// {CANARY}\nexport function InvoiceTotal(total, tax) {{\n  return round(total * tax)\n}}\n"
    (repo / "frontend" / "InvoiceTotal.tsx").write_text(page)
    for arguments in (["add", "."], ["commit", "-q", "-m", "Sell things"]):
        subprocess.run(["git", *arguments], cwd=repo, check=True, capture_output=True)
    return repo


@pytest.fixture
async def desk(tmp_path: Path) -> AsyncGenerator[memory_client.Desk]:
    server = memory_client.make_server(memory_client.settings(tmp_path / "home", repository(tmp_path / "shop")))
    async with Client(server) as client:
        yield memory_client.Desk(client)


DECIDED = "Totals are rounded half to even, because the tax office does so"
DESIGN: dict[str, Any] = {"id": "design", "do": "Decide how invoice totals are rounded", "agent": "database-expert"}
BUILD: dict[str, Any] = {
    "id": "build",
    "do": "Fix the rounding of the invoice total with tax in the invoice_total function",
    "deps": ["design"],
    "agent": "backend-developer",
}


async def built(desk: memory_client.Desk, **more: Any) -> tuple[str, dict[str, Any]]:
    """Returns a run whose first task has decided something, and the assignment of the second."""
    run_id = (await desk.call("dispatch", plan_id=await desk.planned(DESIGN, {**BUILD, **more})))["run_id"]
    handoff = {"completed_work": "Decided.", "decisions_made": [DECIDED]}
    results = [{"task_id": "design", "attempt": 1, "handoff": handoff}]
    answer = await desk.call("report", run_id=run_id, results=results)
    return run_id, answer["assignments"][0]


async def test_a_task_is_told_what_was_decided_before_it_and_shown_the_code_it_will_change(
    desk: memory_client.Desk,
) -> None:
    run_id, given = await built(desk)
    brief = await desk.read(f"dispatch://runs/{run_id}/tasks/build/prompt")
    blocks = {data.kind: data for data in prompt_builder.parse(brief).section("CONTEXT").data}
    assert DECIDED in blocks["handoff"].text
    assert "return round(sum(items) * (1 + tax_rate), 2)" in blocks["context"].text
    assert token_count.count(blocks["context"].text) + token_count.count(blocks["handoff"].text) <= BUDGET
    assert DECIDED in given["call"]["prompt"]


async def test_what_was_gathered_goes_by_reference_when_it_would_flood_the_host(
    desk: memory_client.Desk, tmp_path: Path
) -> None:
    run_id, given = await built(desk, reads=["shop/part0.py", "shop/part1.py"])
    assert len(given["call"]["prompt"]) <= 6_000
    assert f"dispatch://runs/{run_id}/tasks/build/prompt" in given["call"]["prompt"]
    (file,) = (tmp_path / "home" / "briefs").rglob("build-1.md")
    assert str(file) in given["call"]["prompt"]
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert "return round(sum(items)" in file.read_text()


async def test_an_agent_receives_nothing_of_a_facet_that_it_never_receives(desk: memory_client.Desk) -> None:
    run_id, given = await built(desk)
    brief = await desk.read(f"dispatch://runs/{run_id}/tasks/build/prompt")
    assert CANARY not in brief
    assert CANARY not in given["call"]["prompt"]
    assert "withheld: frontend/InvoiceTotal.tsx" in brief


async def test_the_saving_is_said_for_the_run_and_for_all_runs(desk: memory_client.Desk) -> None:
    run_id, _ = await built(desk, reads=[f"shop/part{number}.py" for number in range(20)])
    mine = (await desk.call("get_trace", run_id=run_id))["context"]
    assert 0 < mine["sent"] <= 2 * BUDGET
    assert mine["saved"] == pytest.approx(1 - mine["sent"] / mine["named_files"], abs=0.001)
    everything = (await desk.call("get_trace"))["context"]
    assert everything["named_files"] >= mine["named_files"]


async def test_a_brief_with_more_than_the_files_that_its_task_names_says_how_much_more(
    desk: memory_client.Desk,
) -> None:
    run_id, _ = await built(desk, reads=["shop/invoices.py"])
    context = (await desk.call("get_trace", run_id=run_id))["context"]
    assert context["tokens_more"] == context["sent"] - context["named_files"] > 0
    assert "saved" not in context


async def test_the_trace_says_once_that_a_knowledge_document_was_missing(tmp_path: Path) -> None:
    agents = tmp_path / "agents"
    agents.mkdir()
    (agents / "totaller.md").write_text("---\nname: totaller\ndescription: Adds up\nknowledge: lost.md\n---\nAdd.\n")
    workspace = memory_client.repository(tmp_path / "shop")
    chosen = memory_client.settings(tmp_path / "home", workspace).model_copy(update={"agent_dirs": (agents,)})
    async with Client(memory_client.make_server(chosen)) as client:
        desk = memory_client.Desk(client)
        plan_id = await desk.planned({"id": "add", "do": "Add totals", "agent": "totaller"})
        run_id = (await desk.call("dispatch", plan_id=plan_id))["run_id"]
        await desk.read(f"dispatch://runs/{run_id}/tasks/add/prompt")
        timeline = (await desk.call("get_trace", run_id=run_id, view="timeline"))["timeline"]
    events = [event for event in timeline if event["kind"] == "knowledge_missing"]
    assert [(event["task"], event["data"]["missing"]) for event in events] == [("add", "lost.md")]


async def test_a_host_without_resources_reads_the_same_brief_from_the_trace(desk: memory_client.Desk) -> None:
    run_id, given = await built(desk, reads=["shop/part0.py", "shop/part1.py"])
    call = re.search(r"the trace tool of that server, with (\{.*\}): its `text`", given["call"]["prompt"])
    assert call is not None
    trace = await desk.call("get_trace", **json.loads(call[1]))
    assert trace["text"] == await desk.read(f"dispatch://runs/{run_id}/tasks/build/prompt")
    with pytest.raises(memory_client.Refused, match="run_id and task_id"):
        await desk.call("get_trace", view="brief")


async def test_a_worker_that_could_not_read_its_brief_fails_its_attempt_in_the_form_that_it_was_told(
    desk: memory_client.Desk,
) -> None:
    run_id, given = await built(desk, reads=["shop/part0.py", "shop/part1.py"])
    form = re.search(r"end your answer with (\{.*?\})", given["call"]["prompt"])
    assert form is not None
    answer = f"I found no tool for it.\n\n{form[1].replace('why', 'there is no tool for resources')}"
    results = [{"task_id": "build", "attempt": 1, "text": answer}]
    await desk.call("report", run_id=run_id, results=results)
    timeline = (await desk.call("get_trace", run_id=run_id, view="timeline"))["timeline"]
    end = next(event for event in reversed(timeline) if event["kind"] == "attempt_finished")
    assert (end["task"], end["data"]["state"]) == ("build", "failed")
