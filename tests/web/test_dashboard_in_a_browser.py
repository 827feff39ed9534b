"""The dashboard where people meet it: a real server, and a browser."""

from __future__ import annotations

import json
import os
import re
import signal
from collections.abc import Generator
from dataclasses import dataclass
from pathlib import Path

import anyio
import browser
import command_runs
import dispatcher_setup
import nursery
import pytest

from dispatch_mcp import model

pytestmark = pytest.mark.skipif(browser.PROGRAM is None, reason=browser.WHY_NOT)

AXE = Path(__file__).resolve().parents[2] / ".axe" / "node_modules" / "axe-core" / "axe.min.js"
ENTER = (
    "(() => { document.querySelector('#token').value = %s; document.querySelector('#gate form button').click(); })()"
)


@dataclass
class House:
    """A server of its own, and a browser."""

    url: str
    token: str
    folder: Path
    chromium: browser.Browser

    def page(self, path: str = "/") -> browser.Page:
        page = self.chromium.page()
        page.goto(f"{self.url}{path}")
        return page

    def enter(self, page: browser.Page, token: str = "") -> None:
        page.until("document.querySelector('#token')")
        page.run(ENTER % json.dumps(token or self.token))

    def run(self, title: str) -> None:
        """Carries a run out, in a process of its own."""
        task = {"id": "a", "do": title}
        document = command_runs.written(self.folder, [task, {"id": "b", "do": "Test it", "deps": ["a"]}])
        command = ("run", document, "--dry-run", "--quiet", "--title", title)
        with command_runs.OwnProcess(*command, cwd=self.folder) as run:
            _, err = run.communicate()
        assert run.returncode == 0, err


@pytest.fixture
def house(tmp_path: Path, chromium: browser.Browser) -> Generator[House]:
    environment = {"DISPATCH_MCP_HOME": str(tmp_path / "state"), **os.environ}
    shop = tmp_path / "shop"
    shop.mkdir()
    theirs, ours = os.pipe()
    server = nursery.fork(["serve", "--http", "0"], environment, shop, ours)
    os.close(ours)
    try:
        with os.fdopen(theirs) as stderr:
            lines = [stderr.readline() for _ in range(4)]
            address = re.search(r"(http://[\d.:]+)/mcp", "".join(lines))
            assert address, lines
            yield House(address[1], lines[-1].strip(), shop, chromium)
    finally:
        with server:
            server.send_signal(signal.SIGTERM)


def test_a_person_gives_the_token_sees_their_runs_and_follows_one(house: House) -> None:
    house.run("The first run")
    page = house.page()
    house.enter(page, "dmcp_" + "wrong" * 9)
    page.until("document.querySelector('[role=alert]')")
    house.enter(page)
    page.until("document.querySelectorAll('#gate tbody tr').length === 1")
    house.run("The second run")
    page.until("document.querySelectorAll('#gate tbody tr').length === 2")
    page.run("document.querySelector('#gate tbody button').click()")
    page.drawn()
    page.until("!document.querySelector('#main').hidden")
    assert page.run("document.querySelector('h1 bdi').textContent") == "The second run"
    assert page.run("location.hash").startswith("#run=")
    page.run("[...document.querySelectorAll('#extra button')].find((one) => one.textContent === 'All runs').click()")
    page.until("document.querySelectorAll('#gate tbody tr').length === 2")
    page.call("Page.reload")
    page.until("document.querySelectorAll('#gate tbody tr').length === 2")


@pytest.mark.promise("S12")
def test_the_names_of_runs_stand_on_the_dashboard_as_text(house: House) -> None:
    name = "<img/src/onerror=alert(1)>"
    house.run(name)
    page = house.page()
    house.enter(page)
    page.until("document.querySelector('#gate tbody button')")
    assert page.run("document.querySelector('#gate tbody button').textContent") == name
    page.run("document.querySelector('#gate tbody button').click()")
    page.until("document.body.dataset.whole > 0 && !document.querySelector('#main').hidden")
    assert page.run("document.querySelector('h1 bdi').textContent") == name
    assert page.run("[document.scripts.length, document.querySelectorAll('img').length]") == [2, 0]
    assert page.faults == []


async def _begin_limited() -> str:
    async with dispatcher_setup.opened(Path(os.environ["DISPATCH_MCP_HOME"])) as desk:
        run = await dispatcher_setup.started(desk, dispatcher_setup.task("a"), limits=model.Limits(attempts=5))
    return run.run_id


ASK_FOR = (
    "(() => { document.querySelector('#name').value = 'attempts'; document.querySelector('#height').value = '%d';"
    " document.querySelector('form button').click(); })()"
)
CEILING = "document.querySelector('td.num')?.textContent"


def test_a_person_follows_a_run_to_its_limits_is_asked_about_a_raise_and_agrees(house: House) -> None:
    handle = anyio.run(_begin_limited)
    page = house.page(f"/#run={handle}")
    house.enter(page)
    page.until("document.querySelector('#extra a')")
    page.run("document.querySelector('#extra a').click()")
    page.until(f"{CEILING} === '5'")
    page.run(ASK_FOR % 4)
    page.until(f"{CEILING} === '4'")
    page.run(ASK_FOR % 9)
    page.until("document.querySelector('#question')")
    assert "attempts from 4 to 9." in page.run("document.querySelector('#question').textContent")
    assert page.run("document.activeElement.id") == "agree"
    page.run("document.querySelector('#agree').click()")
    page.until(f"{CEILING} === '9'")
    assert page.faults == []
    page.run("document.querySelector('main a').click()")
    page.drawn()


def test_the_token_stays_out_of_addresses_and_pages_and_can_be_forgotten(house: House) -> None:
    page = house.page()
    house.enter(page)
    page.until("document.querySelector('#extra .pill')")
    assert not [url for url in page.requests if house.token in url]
    assert {url.split("/")[2] for url in page.requests} == {house.url.split("/")[2]}
    assert not page.run(f"document.documentElement.outerHTML.includes({json.dumps(house.token)})")
    assert not page.run(f"JSON.stringify(localStorage).includes({json.dumps(house.token)})")
    page.run("[...document.querySelectorAll('#extra button')].at(-1).click()")
    page.until("document.querySelector('#token')")
    assert page.run("sessionStorage.length") == 0


def test_what_can_be_no_token_is_refused_at_the_gate(house: House) -> None:
    page = house.page()
    house.enter(page, "dmcp_\u2026x")
    page.until("document.querySelector('[role=alert]')?.textContent.startsWith('This is no token')")
    assert page.run("sessionStorage.length") == 0
    house.enter(page)
    page.until("document.querySelector('#extra .pill')?.textContent === 'live'")


async def _begin_large(size: int) -> str:
    async with dispatcher_setup.opened(Path(os.environ["DISPATCH_MCP_HOME"])) as desk:
        tasks = [dispatcher_setup.task(f"t{at}", *([f"t{at - 3}"] if at > 2 else [])) for at in range(size)]
        return (await dispatcher_setup.started(desk, *tasks)).run_id


@pytest.mark.parametrize("size", [3, 50, 2_000])
def test_a_run_of_any_size_is_shown_on_the_dashboard_in_both_schemes(house: House, size: int) -> None:
    handle = anyio.run(_begin_large, size)
    for scheme in ("light", "dark"):
        page = house.page()
        page.media(scheme=scheme)
        house.enter(page)
        page.until("document.querySelectorAll('#gate tbody tr').length === 1")
        page.keep_picture(f"dashboard-{size}-{scheme}")
        page.run(f"location.hash = '#run={handle}'; 0")
        page.until("document.body.dataset.whole && !document.querySelector('#main').hidden")
        page.until(f"document.querySelector('#tasks .vlist')?.getAttribute('aria-rowcount') === '{size + 1}'")
        assert page.run("document.querySelectorAll('#graph .node').length") > 2
        page.keep_picture(f"dashboard-run-{size}-{scheme}")
        assert page.faults == []


async def _begin_many(count: int) -> None:
    async with dispatcher_setup.opened(Path(os.environ["DISPATCH_MCP_HOME"])) as desk:
        for number in range(count):
            await dispatcher_setup.started(desk, dispatcher_setup.task(f"t{number}"))


def test_older_runs_are_shown_when_they_are_asked_for(house: House) -> None:
    anyio.run(_begin_many, 52)
    page = house.page()
    house.enter(page)
    page.until("document.querySelectorAll('#gate tbody tr').length === 50")
    page.run("document.querySelector('#gate > button').click()")
    page.until("document.querySelectorAll('#gate tbody tr').length === 52")
    page.until("!document.querySelector('#gate > button')")
    house.run("A newer run")
    page.until("document.querySelectorAll('#gate tbody tr').length === 53")
    names = page.run("[...document.querySelectorAll('#gate tbody .mono')].map((one) => one.textContent)")
    assert len(set(names)) == 53
    assert page.faults == []


def test_an_address_of_nothing_says_so(house: House) -> None:
    page = house.page("/#run=no-such-run-1234")
    house.enter(page)
    page.until("document.querySelector('#gate h1')?.textContent === 'Not here'")


def test_the_skip_link_leads_into_the_run_and_not_out_of_it(house: House) -> None:
    house.run("A run to look at")
    page = house.page()
    house.enter(page)
    page.until("document.querySelector('#gate tbody button')")
    page.run("document.querySelector('#gate tbody button').click()")
    page.until("!document.querySelector('#main').hidden")
    before = page.run("location.hash")
    page.run("document.querySelector('.skip').click()")
    assert page.run("[location.hash, document.activeElement.id]") == [before, "main"]
    page.run("location.hash = '#run=%'; 0")
    page.until("document.querySelector('#gate h1')?.textContent === 'Not here'")
    assert [fault for fault in page.faults if "404" not in fault] == []


def test_a_page_goes_on_when_its_server_comes_back(house: House) -> None:
    page = house.page()
    house.enter(page)
    page.until("document.querySelector('#extra .pill')?.textContent === 'live'")
    page.call("Network.emulateNetworkConditions", offline=True, latency=0, downloadThroughput=-1, uploadThroughput=-1)
    page.run("location.hash = '#x'; 0")
    page.until("document.querySelector('#extra .pill')?.textContent.startsWith('No answer')")
    page.call("Network.emulateNetworkConditions", offline=False, latency=0, downloadThroughput=-1, uploadThroughput=-1)
    page.until("document.querySelector('#extra .pill')?.textContent === 'live'")


@pytest.mark.skipif(not AXE.is_file(), reason="no axe-core here: `make test-page` installs it")
def test_axe_finds_nothing_serious_in_gate_list_and_run(house: House) -> None:
    house.run("A run to look at")
    page = house.page()
    page.until("document.querySelector('#token')")

    def serious() -> list[str]:
        page.run(f"{AXE.read_text('utf-8')};0")
        return page.run(
            "axe.run(document).then((all) => all.violations.filter((one) => ['serious', 'critical']"
            ".includes(one.impact)).map((one) => `${one.id}: ${one.nodes[0].html.slice(0, 160)}`))"
        )

    assert serious() == []
    house.enter(page)
    page.until("document.querySelector('#gate tbody button')")
    assert serious() == []
    page.run("document.querySelector('#gate tbody button').click()")
    page.until("!document.querySelector('#main').hidden")
    page.drawn()
    assert serious() == []
    page.run("location.href = `/limits${location.hash}`; 0")
    page.until("document.querySelector('#height')")
    assert serious() == []
