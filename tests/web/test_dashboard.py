"""The dashboard of `serve --http`: a page without data, and data for whoever has a token."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx2
import memory_client
import pytest
from mcp import Client
from mcp.client.streamable_http import streamable_http_client

from dispatch_mcp import errors
from dispatch_mcp.cli import shell_wording
from dispatch_mcp.mcp_server import lazy
from dispatch_mcp.pages import live_pictures, run_page
from dispatch_mcp.service import dispatcher
from dispatch_mcp.text import redaction
from dispatch_mcp.web import dashboard, http_server

pytestmark = pytest.mark.anyio

URL = "http://127.0.0.1"
TASK = {"id": "write", "do": "Add a discount to app.py", "files": ["app.py"]}


class House:
    """One server over one store; a token is the name of whose it is."""

    def __init__(self, app: Any) -> None:
        self.app = app

    @asynccontextmanager
    async def http(self, name: str = "") -> AsyncGenerator[httpx2.AsyncClient]:
        headers = {"Authorization": f"Bearer {name}"} if name else {}
        async with httpx2.AsyncClient(transport=httpx2.ASGITransport(app=self.app), headers=headers) as client:
            yield client

    @asynccontextmanager
    async def desk(self, name: str) -> AsyncGenerator[memory_client.Desk]:
        async with self.http(name) as http, Client(streamable_http_client(f"{URL}/mcp", http_client=http)) as client:
            yield memory_client.Desk(client)

    async def get(self, name: str, path: str) -> tuple[int, Any]:
        async with self.http(name) as client:
            answer = await client.get(f"{URL}{path}")
        return answer.status_code, answer.json()


@pytest.fixture
async def house(tmp_path: Path) -> AsyncGenerator[House]:
    openings: list[lazy.Opening] = []

    async def keep(opening: lazy.Opening) -> None:
        openings.append(opening)

    service = memory_client.make_server_for_many(
        memory_client.settings(tmp_path / "home", memory_client.repository(tmp_path / "shop")), companions=[keep]
    )

    async def app_of_request() -> dispatcher.Dispatcher:
        return await openings[0].get()

    async def is_ready() -> None:
        """The state is open."""

    pictures = live_pictures.LivePictures(app_of_request, shell_wording.words, redaction.Redactor())
    app = http_server.application(
        service, http_server.Address(), owner=str, is_ready=is_ready, card={}, pictures=pictures
    )
    async with service.session_manager.run():
        yield House(app)


async def test_the_page_needs_no_token_and_holds_nothing_of_anybody(house: House) -> None:
    async with house.http() as client:
        answer = await client.get(f"{URL}/")
    assert answer.status_code == 200
    assert answer.text == run_page.html(None, "live")
    assert answer.headers["content-security-policy"].startswith("default-src 'none'; script-src 'sha256-")
    assert "connect-src 'self'; frame-ancestors 'none'" in answer.headers["content-security-policy"]
    assert answer.headers["cache-control"] == "no-store"
    assert answer.headers["x-content-type-options"] == "nosniff"


@pytest.mark.parametrize("path", ["/api/runs", "/api/runs/latest", "/api/runs/"])
async def test_data_needs_a_token(house: House, path: str) -> None:
    status, answer = await house.get("", path)
    assert status == 401
    assert "token" in answer["error"]


@pytest.mark.parametrize(
    ("headers", "status"),
    [({"Host": "evil.example"}, 421), ({"Origin": "http://evil.example"}, 403), ({"Origin": "null"}, 403)],
)
async def test_a_foreign_host_or_origin_reaches_neither_page_nor_data(
    house: House, headers: Mapping[str, str], status: int
) -> None:
    async with house.http("ann") as client:
        for path in ("/", "/api/runs"):
            assert (await client.get(f"{URL}{path}", headers=dict(headers))).status_code == status


async def test_a_run_is_in_the_list_and_can_be_looked_at(house: House) -> None:
    async with house.desk("ann") as ann:
        run = await ann.call("dispatch", plan_id=await ann.planned(TASK), worker="host")
    status, listed = await house.get("ann", "/api/runs")
    assert status == 200
    assert [line["run_id"] for line in listed["runs"]] == [run["run_id"]]
    status, picture = await house.get("ann", f"/api/runs/{run['run_id']}")
    assert status == 200
    assert picture["tasks"][0]["id"] == "write"
    assert picture["events"][0][2] == "run_created"


@pytest.mark.promise("S3")
async def test_what_is_somebody_else_s_is_not_there(house: House) -> None:
    async with house.desk("ann") as ann:
        run = await ann.call("dispatch", plan_id=await ann.planned(TASK), worker="host")
    assert "runs" not in (await house.get("ben", "/api/runs"))[1]
    for handle in (run["run_id"], run["run_id"][:-2], "latest"):
        status, answer = await house.get("ben", f"/api/runs/{handle}")
        assert status == 404
        assert "Add a discount" not in str(answer)


async def test_only_what_came_after_is_sent_to_who_has_the_rest(house: House) -> None:
    async with house.desk("ann") as ann:
        run = await ann.call("dispatch", plan_id=await ann.planned(TASK), worker="host")
    _, picture = await house.get("ann", f"/api/runs/{run['run_id']}")
    last = picture["events"][-1][0]
    _, rest = await house.get("ann", f"/api/runs/{run['run_id']}?after={last - 1}&revision=")
    assert [event[0] for event in rest["events"]] == [last]


@pytest.mark.parametrize("query", ["after=x&revision=y", "after=-1", "after=1e9&revision=%00", f"after={'9' * 400}"])
async def test_numbers_that_are_none_count_as_left_out(house: House, query: str) -> None:
    async with house.desk("ann") as ann:
        run = await ann.call("dispatch", plan_id=await ann.planned(TASK), worker="host")
    status, picture = await house.get("ann", f"/api/runs/{run['run_id']}?{query}")
    assert status == 200
    assert picture["events"][0][0] == 1


@pytest.mark.parametrize("handle", ["no-such-run", "%2e%2e", "a%00b", "%3Cscript%3E", "x" * 500])
async def test_handles_of_nothing_are_said_to_be_none(house: House, handle: str) -> None:
    status, answer = await house.get("ann", f"/api/runs/{handle}")
    assert status in (400, 404)
    assert answer["error"]


async def test_a_cursor_that_is_none_is_no_fault_of_the_server(house: House) -> None:
    status, _ = await house.get("ann", "/api/runs?cursor=nothing")
    assert status in (200, 400, 404)


async def sent(house: House, name: str, path: str, document: Any, origin: str | None = URL) -> tuple[int, Any]:
    """Sends what the page of limits sends; without an origin it comes from no page."""
    headers = {"Origin": origin} if origin else {}
    async with house.http(name) as client:
        answer = await client.post(f"{URL}{path}", json=document, headers=headers)
    return answer.status_code, answer.json()


async def limited(house: House) -> tuple[str, str]:
    """Begins a run of Ann's with a ceiling; returns it and where its ceilings are."""
    async with house.desk("ann") as ann:
        run = await ann.call("dispatch", plan_id=await ann.planned(TASK), worker="host", limits={"attempts": 5})
    return run["run_id"], f"/api/runs/{run['run_id']}/limits"


@pytest.mark.promise("S18")
async def test_a_person_lowers_at_once_and_raises_what_they_were_shown(house: House) -> None:
    run_id, path = await limited(house)
    assert (await house.get("ann", path))[1]["limits"] == {"attempts": 5}
    assert (await sent(house, "ann", path, {"limits": {"attempts": 4}}))[1]["limits"] == {"attempts": 4}
    status, question = await sent(house, "ann", path, {"limits": {"attempts": 9}})
    assert status == 200
    assert f"Raise what run {run_id} (Add a discount to app.py) may use? attempts from 4 to 9." in question["question"]
    assert (await house.get("ann", path))[1]["limits"] == {"attempts": 4}
    agreed = {"plan_digest": question["plan_digest"], "raises": question["raises"]}
    status, answer = await sent(house, "ann", path, {"limits": {"attempts": 9}, "agreed": agreed})
    assert (status, answer["limits"]) == (200, {"attempts": 9})
    async with house.desk("ann") as ann:
        timeline = (await ann.call("get_trace", run_id=run_id, view="timeline"))["timeline"]
    [act] = [line["data"] for line in timeline if line["kind"] == "limits_raised"]
    assert (act["by"], act["plan_digest"]) == ("ann at the dashboard", question["plan_digest"])


@pytest.mark.promise("S18")
async def test_an_answer_to_another_question_raises_nothing(house: House) -> None:
    _, path = await limited(house)
    _, question = await sent(house, "ann", path, {"limits": {"attempts": 9}})
    agreed = {"plan_digest": question["plan_digest"], "raises": question["raises"]}
    others: list[dict[str, Any]] = [
        {"limits": {"attempts": 10}, "agreed": agreed},
        {"limits": {"attempts": 9}, "agreed": {**agreed, "plan_digest": "0" * 64}},
        {"limits": {"attempts": 9}, "agreed": {**agreed, "raises": []}},
    ]
    for other in others:
        status, answer = await sent(house, "ann", path, other)
        assert status == 409
        assert "by now than those that were agreed to" in answer["error"]
    assert (await house.get("ann", path))[1]["limits"] == {"attempts": 5}


@pytest.mark.promise("S18")
async def test_what_comes_from_no_page_or_another_origin_changes_nothing(house: House) -> None:
    _, path = await limited(house)
    for origin in (None, "http://evil.example", "null"):
        assert (await sent(house, "ann", path, {"limits": {"attempts": 2}}, origin))[0] == 403
    assert (await sent(house, "", path, {"limits": {"attempts": 2}}))[0] == 401
    assert (await house.get("ann", path))[1]["limits"] == {"attempts": 5}


@pytest.mark.promise("S3")
async def test_ceilings_of_somebody_else_s_run_are_not_there(house: House) -> None:
    _, path = await limited(house)
    assert (await house.get("ben", path))[0] == 404
    assert (await sent(house, "ben", path, {"limits": {"attempts": 2}}))[0] == 404


WRONG_FORMS: list[Any] = [
    *([], {}, "dollars", None, {"limits": []}, {"limits": {"euros": 1}}, {"limits": {"dollars": "NaN"}}),
    *({"limits": {"attempts": 9}, "agreed": "yes"}, {"limits": {"attempts": 9}, "agreed": {"raises": 3}}),
    *({"limits": {"beyond_forecast": True}}, {"limits": {"dollars": 1}, "more": "x" * 20_000}),
]


@pytest.mark.parametrize("document", WRONG_FORMS, ids=lambda document: str(document)[:40])
async def test_a_form_that_is_none_is_refused_with_the_reason(house: House, document: Any) -> None:
    _, path = await limited(house)
    status, answer = await sent(house, "ann", path, document)
    assert status == 400
    assert answer["error"]
    assert (await house.get("ann", path))[1]["limits"] == {"attempts": 5}


async def test_the_page_of_limits_holds_nothing_and_may_reach_only_its_server(house: House) -> None:
    async with house.http() as client:
        answer = await client.get(f"{URL}/limits")
        broken = await client.post(f"{URL}/limits")
    assert answer.text == run_page.limits_page()[0]
    assert answer.headers["content-security-policy"].startswith("default-src 'none'; script-src 'sha256-")
    assert "connect-src 'self'; frame-ancestors 'none'" in answer.headers["content-security-policy"]
    assert broken.status_code == 405


class Troubled:
    """Shows nothing, for one reason."""

    def __init__(self, trouble: errors.DispatchError) -> None:
        self.trouble = trouble

    async def runs(self, digest: str = "", cursor: str = "") -> dict[str, Any]:
        raise self.trouble

    async def run(self, handle: str, after: int = 0, revision: int = -1) -> dict[str, Any]:
        raise self.trouble

    async def limits(self, handle: str) -> dict[str, Any]:
        raise self.trouble

    async def limit(self, handle: str, document: Any, by: str) -> dict[str, Any]:
        raise self.trouble


@pytest.mark.parametrize(
    ("trouble", "status"),
    [
        (errors.UnknownHandle("There is none."), 404),
        (errors.InputError("Wrong."), 400),
        (errors.StoreBusy("Busy."), 503),
        (errors.NotAllowed("Too much."), 403),
        (errors.StaleVersion("Another plan."), 409),
    ],
)
async def test_trouble_is_told_in_words(trouble: errors.DispatchError, status: int) -> None:
    from starlette.applications import Starlette  # noqa: PLC0415

    app = Starlette(routes=dashboard.routes(Troubled(trouble), str))
    async with httpx2.AsyncClient(transport=httpx2.ASGITransport(app=app)) as client:
        for path in ("/api/runs", "/api/runs/x", "/api/runs/x/limits"):
            answer = await client.get(f"{URL}{path}")
            assert (answer.status_code, answer.json()) == (status, {"error": trouble.message})
