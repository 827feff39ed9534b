"""The page of a run as an app inside of a host, which is the official bridge."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import browser
import picture_samples
import pytest

from dispatch_mcp.pages import run_page

HERE = Path(__file__).resolve().parents[2]
HOST = Path(os.environ.get("DISPATCH_MCP_APP_HOST", HERE / ".axe" / "app_host.js"))
AXE = HERE / ".axe" / "node_modules" / "axe-core" / "axe.min.js"
SEEN = "allow-scripts allow-same-origin"
"""A sandbox into which the test can look."""

pytestmark = [
    pytest.mark.skipif(browser.PROGRAM is None, reason=browser.WHY_NOT),
    pytest.mark.skipif(not HOST.is_file(), reason="no bridge here: `make test-page` builds it"),
]
CAN: dict[str, Any] = {"serverTools": {}, "serverResources": {}}
Open = Callable[..., browser.Page]


@pytest.fixture
def open_app(chromium: browser.Browser, tmp_path: Path) -> Open:
    path = tmp_path / "host.html"
    script = HOST.read_text("utf-8").replace("</script", "<\\/script")
    path.write_text(f"<!doctype html><meta charset=utf-8><body><script>{script}</script>", encoding="utf-8")

    def opened(
        picture: Any, *, can: Any = CAN, theme: str = "light", sandbox: str = SEEN, **context: Any
    ) -> browser.Page:
        page = chromium.page()
        page.goto(path.as_uri())
        setup = {"context": {"theme": theme, **context}, "capabilities": can, "picture": picture, "sandbox": sandbox}
        about = page.run(f"open_app({json.dumps(run_page.html(None, 'app'))}, {json.dumps(setup)})")
        assert about["name"] == "dispatch"
        return page

    return opened


def document(size: int, **how: Any) -> Any:
    return {**picture_samples.document(size, **how), "pause_s": 0.06}


def answer(page: browser.Page, picture: Any, **more: Any) -> None:
    """Tells the app what its tool call was answered with."""
    structured = {"run_id": picture["run"]["run_id"], "state": "running", "title": "A run", **more}
    result = {"content": [{"type": "text", "text": json.dumps(structured)}], "structuredContent": structured}
    page.run(f"host.bridge.sendToolResult({json.dumps(result)})")


def look(page: browser.Page, script: str) -> Any:
    return page.run(f"((document) => {script})(host.frame.contentDocument)")


def until(page: browser.Page, condition: str) -> None:
    page.until(f"((document) => {condition})(host.frame.contentDocument)")


def drawn(page: browser.Page) -> None:
    until(page, "document.body.dataset.whole && !document.querySelector('#main').hidden")


def buttons(page: browser.Page) -> list[str]:
    return look(page, "[...document.querySelectorAll('#extra button')].map((one) => one.textContent)")


def press(page: browser.Page, title: str) -> None:
    look(page, f"[...document.querySelectorAll('#extra button')].find((one) => one.textContent === {title!r}).click()")


def running(size: int) -> Any:
    picture = document(size)
    return {**picture, "run": {**picture["run"], "state": "running"}}


@pytest.mark.parametrize("size", [3, 50, 2_000])
@pytest.mark.parametrize("theme", ["light", "dark"])
def test_an_answer_is_shown_as_the_page_of_its_run_in_the_theme_of_the_host(
    open_app: Open, size: int, theme: str
) -> None:
    picture = document(size)
    page = open_app(picture, theme=theme)
    assert page.run("host.reads") == []
    answer(page, picture)
    drawn(page)
    handle = picture["run"]["run_id"]
    assert page.run("host.reads[0]") == f"dispatch://runs/{handle}/picture?after=0&revision=-1"
    assert look(page, "document.querySelector('h1').textContent") == picture["run"]["title"]
    assert look(page, "document.documentElement.style.colorScheme") == theme
    assert look(page, "document.querySelectorAll('#graph .node, #graph .wave, #graph rect').length") > 0
    assert look(page, "['print', 'theme'].every((id) => document.getElementById(id).hidden)")
    page.until("host.sizes.length")
    assert [url for url in page.requests if not url.startswith(("file:", "about:", "data:"))] == []
    of_the_host = ("console: ", "An iframe which has both allow-scripts and allow-same-origin")
    assert [fault for fault in page.faults if not fault.startswith(of_the_host)] == []
    page.keep_picture(f"app-{size}-{theme}")


def test_an_app_in_a_closed_sandbox_speaks_to_its_host_all_the_same(open_app: Open) -> None:
    picture = document(3)
    page = open_app(picture, sandbox="allow-scripts")
    answer(page, picture)
    page.until("host.reads.length >= 1 && host.sizes.some((size) => size.height > 600)")


def test_news_are_drawn_as_they_come(open_app: Open) -> None:
    picture = running(3)
    page = open_app(picture)
    answer(page, picture)
    drawn(page)
    page.until("host.tell")
    later = {**picture, "revision": picture["revision"] + 1, "run": {**picture["run"], "title": "Another title"}}
    page.run(f"host.picture = {json.dumps(later)}; host.tell(); 0")
    until(page, "document.querySelector('h1').textContent === 'Another title'")
    assert page.run("host.reads[1]").endswith(f"&revision={picture['revision']}")


def test_a_run_is_paused_and_cancelled_through_tools_and_cancelling_is_asked_twice(open_app: Open) -> None:
    picture = running(3)
    handle = picture["run"]["run_id"]
    page = open_app(picture)
    answer(page, picture)
    drawn(page)
    until(page, "document.querySelectorAll('#extra button').length === 2")
    assert buttons(page) == ["Pause", "Cancel"]
    press(page, "Pause")
    page.until("host.calls.length === 1")
    press(page, "Cancel")
    assert buttons(page) == ["Pause", "Really cancel"]
    assert page.run("host.calls.length") == 1
    press(page, "Really cancel")
    page.until("host.calls.length === 2")
    calls = [{"name": "steer_run", "arguments": {"run_id": handle, "action": act}} for act in ("pause", "cancel")]
    assert page.run("host.calls.map(({ name, arguments: a }) => ({ name, arguments: a }))") == calls


def test_what_a_tool_refuses_is_said(open_app: Open) -> None:
    page = open_app(running(3))
    page.run("host.answer = { isError: true, content: [{ type: 'text', text: 'It is over already.' }] }; 0")
    answer(page, running(3))
    drawn(page)
    until(page, "document.querySelectorAll('#extra button').length === 2")
    press(page, "Pause")
    until(page, "document.querySelector('#extra .pill').textContent === 'It is over already.'")


@pytest.mark.parametrize("can", [{"serverResources": {}}, CAN])
def test_nothing_is_steered_where_the_host_calls_no_tools_or_the_run_is_over(open_app: Open, can: Any) -> None:
    picture = document(3) if can is CAN else running(3)
    picture = {**picture, "run": {**picture["run"], "state": "succeeded" if can is CAN else "running"}}
    page = open_app(picture, can=can)
    answer(page, picture)
    drawn(page)
    until(page, "document.querySelector('#extra .pill')")
    assert buttons(page) == []


def test_where_the_host_reads_no_resources_the_answer_s_words_are_shown(open_app: Open) -> None:
    page = open_app(document(3), can={"serverTools": {}})
    answer(page, document(3), title="<img src=x onerror=alert(1)>")
    until(page, "document.querySelector('#gate h1')")
    assert look(page, "document.querySelector('#gate h1').textContent") == "<img src=x onerror=alert(1)>"
    assert look(page, "document.querySelector('#gate pre').textContent").startswith('{"run_id"')
    assert look(page, "document.querySelector('img')") is None


@pytest.mark.parametrize("text", ["not JSON", '{"plan_id": "x"}', ""])
def test_an_answer_without_a_run_is_shown_in_its_words(open_app: Open, text: str) -> None:
    page = open_app(document(3))
    page.run(f"host.bridge.sendToolResult({json.dumps({'content': [{'type': 'text', 'text': text}]})})")
    until(page, f"document.querySelector('#gate pre')?.textContent === {json.dumps(text or 'No run.')}")


def test_an_answer_of_a_client_that_passes_on_only_its_text_is_understood(open_app: Open) -> None:
    picture = document(3)
    page = open_app(picture)
    text = json.dumps({"run_id": picture["run"]["run_id"]})
    page.run(f"host.bridge.sendToolResult({json.dumps({'content': [{'type': 'text', 'text': text}]})})")
    drawn(page)


def test_the_host_s_theme_and_colours_are_taken_and_changed_when_it_changes_them(open_app: Open) -> None:
    picture = document(3)
    page = open_app(picture, styles={"variables": {"--color-background-primary": "rgb(1, 2, 3)"}})
    answer(page, picture)
    drawn(page)
    assert look(page, "getComputedStyle(document.body).backgroundColor") == "rgb(1, 2, 3)"
    page.run("host.bridge.sendHostContextChange({ theme: 'dark' })")
    until(page, "document.documentElement.style.colorScheme === 'dark'")


def test_a_host_that_fails_is_asked_again_and_one_that_ends_the_app_is_answered(open_app: Open) -> None:
    picture = running(3)
    page = open_app(picture)
    page.run("host.fault = 'not now'; 0")
    answer(page, picture)
    until(page, "document.querySelector('#extra .pill')?.textContent.startsWith('No answer')")
    page.run("host.fault = null; host.news = true; 0")
    drawn(page)
    assert page.run("host.bridge.teardownResource({}).then((result) => typeof result)") == "object"


def test_messages_of_others_than_the_host_are_not_heard(open_app: Open) -> None:
    page = open_app(document(3))
    forged = {
        "jsonrpc": "2.0",
        "method": "ui/notifications/tool-result",
        "params": {"structuredContent": {"run_id": "x"}},
    }
    script = (
        f"<script>parent.frames[0].postMessage({json.dumps(forged)}, '*'); parent.postMessage('sent', '*')</script>"
    )
    page.run(
        "new Promise((done) => { addEventListener('message', (event) => event.data === 'sent' && done());"
        f"const other = document.createElement('iframe'); other.srcdoc = {json.dumps(script)};"
        "document.body.append(other); })"
    )
    answer(page, document(3))
    drawn(page)
    assert page.run("host.reads.filter((uri) => uri.startsWith('dispatch://runs/x/')).length") == 0


@pytest.mark.skipif(not AXE.is_file(), reason="no axe-core here: `make test-page` installs it")
def test_axe_finds_nothing_serious_in_the_app(open_app: Open) -> None:
    picture = running(50)
    page = open_app(picture)
    answer(page, picture)
    drawn(page)
    [frame] = page.call("Page.getFrameTree")["frameTree"]["childFrames"]
    world = page.call("Page.createIsolatedWorld", frameId=frame["frame"]["id"])["executionContextId"]
    serious = (
        f"{AXE.read_text('utf-8')};axe.run(document).then((all) => all.violations.filter((one) => "
        "['serious', 'critical'].includes(one.impact)).map((one) => `${one.id}: ${one.nodes[0].html.slice(0, 160)}`))"
    )
    found = page.call("Runtime.evaluate", expression=serious, contextId=world, awaitPromise=True, returnByValue=True)
    assert found["result"].get("value", found) == []
