"""What is read by default, by programs and their models, holds nothing that anybody wrote: content is asked for (S11).

The same words stand in everything that a run is made of. Whoever reads only these looks cannot be told anything by
them; each view of content is read as well, so that the words are known to be there.
"""

from __future__ import annotations

import json
import logging
import subprocess
from collections.abc import AsyncGenerator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import anyio
import memory_client
import pytest

from dispatch_mcp import composition, configuration
from dispatch_mcp.model import records
from dispatch_mcp.service.run_views import view_names
from dispatch_mcp.telemetry import span_tree

pytestmark = [pytest.mark.anyio, pytest.mark.promise("S11")]

CANARY = "zanzibar"
SCRIPT = {
    "result": {"answer": f"{CANARY} output"},
    "handoff": {
        "completed_work": f"{CANARY} done",
        "open_questions": [f"{CANARY} question"],
        "mistakes_learned": [f"{CANARY} mistake"],
        "messages": [{"to": "look", "kind": "warning", "text": f"{CANARY} note"}],
        "proposed_edits": [{"op": "add", "task": {"id": "more", "do": f"{CANARY} edit"}}],
    },
}
FAILURE = {"script": {"fail": "permanent", "error": f"{CANARY} failure."}}
PLAN: list[dict[str, Any]] = [
    {"id": "gate", "do": f"{CANARY} gate", "worker": "host"},
    {"id": "work", "do": f"{CANARY} goal", "worker": "scripted", "inputs": {"script": SCRIPT}, "deps": ["gate"]},
    *({"id": f"fails-{n}", "do": f"{CANARY} fails", "worker": "scripted", "inputs": FAILURE} for n in range(3)),
    {"id": "look", "do": f"{CANARY} look", "worker": "host", "constraints": [f"{CANARY} rule"], "files": ["app.py"]},
    {"id": "ask", "do": f"{CANARY} decision", "worker": "human"},
    {"id": "later", "do": f"{CANARY} later", "worker": "scripted", "deps": ["ask"]},
]
DIFF = (
    f"--- a/app.py\n+++ b/app.py\n@@ -1,2 +1,2 @@\n def total(items):\n-    return sum(items)\n+    return {CANARY}\n"
)
FINDING = {"severity": "high", "file": "app.py", "line": 2, "quote": f"return {CANARY}", "claim": f"{CANARY} claim"}
VERDICT = "```json\n" + json.dumps({"verdict": "FAIL", "findings": [{**FINDING, "evidence": CANARY}]}) + "\n```"


@dataclass(frozen=True)
class House:
    """A run and a review that are full of these words, and who asks about them."""

    desk: memory_client.Desk
    chosen: configuration.Settings
    run: str
    review: str

    async def view(self, run: str, view: str, **more: Any) -> str:
        return json.dumps(await self.desk.call("get_trace", run_id=run, view=view, **more))


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    folder = memory_client.repository(tmp_path / "shop")
    (folder / "notes.md").write_text(f"# {CANARY} file\n", encoding="utf-8")
    for arguments in (["add", "."], ["commit", "-q", "-m", f"{CANARY} commit"]):
        subprocess.run(["git", *arguments], cwd=folder, check=True, capture_output=True)
    return folder


@pytest.fixture(params=memory_client.ERAS)
async def house(tmp_path: Path, shop: Path, request: pytest.FixtureRequest) -> AsyncGenerator[House]:
    chosen = memory_client.settings(tmp_path / "home", shop)
    with anyio.fail_after(240):
        async with memory_client.desk(memory_client.make_server(chosen), request.param) as desk:
            run = await begun(desk)
            review = await desk.call("review_council", diff=DIFF)
            while review.get("assignments"):
                results = [
                    {"task_id": handout["task_id"], "attempt": handout["attempt"], "text": VERDICT}
                    for handout in review["assignments"]
                ]
                review = {**await desk.call("report", run_id=review["run_id"], results=results)}
            yield House(desk, chosen, run, review["run_id"])


async def begun(desk: memory_client.Desk) -> str:
    """Returns a run whose tasks have ended, have failed alike, are out, wait for a person, and have messages.

    What writes to `look` begins when that is out, and after the last answer that passes messages on: a message that is
    there before stands in the brief, and one that an answer has told of is not told of again.
    """
    run: str = (await desk.call("dispatch", plan_id=await desk.planned(*PLAN, title="Tides")))["run_id"]
    await desk.call("steer_run", run_id=run, action="pause")
    await desk.call("report", run_id=run, results=[{"task_id": "gate", "attempt": 1, "text": "Opened."}])
    await desk.call("steer_run", run_id=run, action="resume")
    while not await _has_ended(desk, run):
        await desk.call("get_trace", run_id=run, wait_s=1)
    for reader in ("look", "later"):
        await desk.call("message_agents", action="send", run_id=run, recipient=reader, text=f"{CANARY} message")
    return run


async def _has_ended(desk: memory_client.Desk, run: str) -> bool:
    """Returns whether the server has done what it can: the work, and the three that fail."""
    counts = (await desk.call("get_trace", run_id=run))["counts"]
    return counts.get("failed", 0) == 3 and counts.get("succeeded", 0) + counts.get("unverified", 0) == 2


async def looks(house: House) -> dict[str, str]:
    """Returns everything that is read by default, by where it was read."""
    desk = house.desk
    read = {f"{view} of {run}": await house.view(run, view) for run in runs(house) for view in view_names.METADATA}
    read |= {f"the {view} list": json.dumps(await desk.call("get_trace", view=view)) for view in ("summary", "all")}
    for uri in [f"dispatch://runs/{run}{part}" for run in runs(house) for part in ("", "/trace")]:
        read[uri] = await desk.read(uri)
    lists = (desk.client.list_resources, desk.client.list_resource_templates, desk.client.list_tools)
    read |= {ask.__name__: (await ask()).model_dump_json() for ask in (*lists, desk.client.list_prompts)}
    read["completions"] = str([await desk.known("run_id"), await desk.known("plan_id")])
    return read


def runs(house: House) -> tuple[str, str]:
    return house.run, house.review


async def test_no_default_read_of_a_run_or_a_review_holds_a_word_of_what_was_written(
    house: House, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, "dispatch_mcp")
    assert {where for where, text in (await looks(house)).items() if CANARY in text.casefold()} == set()
    result = {"task_id": "look", "attempt": 1, "text": CANARY, "error": f"{CANARY} error"}
    await house.desk.call("report", run_id=house.run, results=[result])
    await house.desk.call("steer_run", run_id=house.run, action="skip", task_id="fails-0", reason=f"{CANARY} skip")
    await house.desk.call("steer_run", run_id=house.run, action="cancel", reason=f"{CANARY} reason")
    assert {where for where, text in (await looks(house)).items() if CANARY in text.casefold()} == set()
    assert CANARY not in caplog.text.casefold()


@pytest.mark.parametrize("view", sorted({"results", "messages", "todo", "mermaid", "report"}))
@pytest.mark.slice(2)
async def test_the_views_of_content_hold_the_words(house: House, view: str) -> None:
    assert CANARY in await house.view(house.run, view)
    assert CANARY in await house.view(house.review, "council")


async def test_what_is_left_out_of_a_look_is_said_to_be_there(house: House) -> None:
    look = json.loads(await house.view(house.run, "summary"))
    assert look["pass_on"] == [
        {"sender": "work", "to": ["look"], "kind": "warning"},
        {"sender": "orchestrator", "to": ["look"], "kind": "information"},
    ]
    assert look["title"] == "Tides"
    assert "('fails-0', 'fails-1' and 'fails-2') failed alike: `simulated_permanent`." in look["next"]
    assert look["whole_in_view"] == ["messages", "results"]
    review = json.loads(await house.view(house.review, "summary"))
    assert "review_council(" in review["next"]
    assert f"{CANARY} claim" in json.dumps(await house.desk.call("review_council", run_id=house.review))
    council = review["council"]
    assert council["outcome"] == "BLOCK"
    assert sum(council["findings"].values()) == 1
    assert set(council["reviewers"].values()) == {"FAIL"}


async def test_what_is_sent_to_telemetry_is_as_bare(house: House) -> None:
    async with composition.open_dispatcher(house.chosen, principal=records.LOCAL) as app:
        view = await app.handles.look(house.run)
        spans = span_tree.tree(view.run, view.plan.tasks, await app.store.attempts(view.run.id))
    assert CANARY not in repr(spans).casefold()
