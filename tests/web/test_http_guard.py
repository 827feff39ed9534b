"""What is let in over HTTP: addresses that are served, tokens that are known, and not too much at once."""

from __future__ import annotations

import itertools
from collections.abc import AsyncGenerator

import httpx2
import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from dispatch_mcp import errors
from dispatch_mcp.web import http_guard, http_server

pytestmark = [pytest.mark.anyio, pytest.mark.promise("S1")]

TOKEN = "dmcp_known"
HERE = "http://127.0.0.1:8765"


class Clock:
    """A clock that stands still until it is set."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def owner(token: str) -> str:
    """Returns whose token this is, as the real tokens do."""
    return "laptop" if token == TOKEN else ""


async def echo(request: Request) -> Response:
    """Answers with whom it was let in as."""
    return PlainTextResponse(str(request.scope.get("principal")))


METHODS = ["GET", "POST", "PUT", "DELETE", "OPTIONS", "PATCH"]
INSIDE = Starlette(routes=[Route("/{path:path}", echo, methods=METHODS)])


def guard(calls: http_guard.RateLimit | None = None, refusals: http_guard.RateLimit | None = None) -> http_guard.Guard:
    return http_guard.Guard(INSIDE, owner, http_server.Address(), calls=calls, refusals=refusals)


def client(app: http_guard.Guard, **headers: str) -> httpx2.AsyncClient:
    transport = httpx2.ASGITransport(app=app, client=("10.0.0.1", 5))
    return httpx2.AsyncClient(transport=transport, base_url=HERE, headers=headers)


@pytest.fixture
async def let_in() -> AsyncGenerator[httpx2.AsyncClient]:
    async with client(guard(), Authorization=f"Bearer {TOKEN}") as http:
        yield http


async def test_who_has_a_token_comes_in_under_its_name(let_in: httpx2.AsyncClient) -> None:
    answer = await let_in.post("/mcp", json={})
    assert (answer.status_code, answer.text) == (200, "laptop")


HOSTS = ("evil.example", "127.0.0.1.evil.example", "127.0.0.1:8765.evil.example", "0.0.0.0:8765", "localhost.:8765")
ORIGINS = ("http://evil.example", "null", "http://localhost.evil.example", "https://127.0.0.1.evil.example:8765")


@pytest.mark.parametrize(("host", "method"), list(itertools.product(HOSTS, ("GET", "POST", "DELETE"))))
async def test_a_host_that_is_not_served_is_misdirected(let_in: httpx2.AsyncClient, host: str, method: str) -> None:
    for path in ("/mcp", "/health"):
        answer = await let_in.request(method, path, headers={"Host": host})
        assert answer.status_code == 421


@pytest.mark.parametrize(("origin", "method"), list(itertools.product(ORIGINS, ("GET", "POST", "DELETE", "OPTIONS"))))
async def test_an_origin_that_is_not_served_is_forbidden(let_in: httpx2.AsyncClient, origin: str, method: str) -> None:
    for path in ("/mcp", "/health"):
        answer = await let_in.request(method, path, headers={"Origin": origin})
        assert answer.status_code == 403
        assert "access-control-allow-origin" not in answer.headers


@pytest.mark.parametrize("last", [True, False])
async def test_a_second_host_or_origin_is_judged_as_the_first(let_in: httpx2.AsyncClient, *, last: bool) -> None:
    ours, theirs = ("localhost:8765", "http://localhost:8765"), ("evil.example", "http://evil.example")
    for name, status, pair in zip(("Host", "Origin"), (421, 403), zip(ours, theirs, strict=True), strict=True):
        headers = [(name, value) for value in (pair if last else reversed(pair))]
        answer = await let_in.get("/mcp", headers=[*headers, *([("Host", "localhost")] if name == "Origin" else [])])
        assert answer.status_code == status


@pytest.mark.parametrize("host", ["127.0.0.1:8765", "localhost:8765", "[::1]:8765", "127.0.0.1", "localhost"])
async def test_the_names_of_this_machine_are_served(let_in: httpx2.AsyncClient, host: str) -> None:
    origin = {"Host": host, "Origin": f"http://{host}"}
    assert (await let_in.get("/mcp", headers=origin)).status_code == 200


@pytest.mark.parametrize(
    "header", ["", TOKEN, f"Basic {TOKEN}", "Bearer", "Bearer ", "Bearer x", f"Bearer {TOKEN}x", f"Bearer {TOKEN},x"]
)
@pytest.mark.parametrize("method", ["GET", "POST", "DELETE", "OPTIONS"])
async def test_without_a_known_token_nobody_comes_in(header: str, method: str) -> None:
    async with client(guard(), **({"Authorization": header} if header else {})) as http:
        answer = await http.request(method, f"/mcp?token={TOKEN}&access_token={TOKEN}")
    assert answer.status_code == 401
    assert answer.headers["www-authenticate"] == "Bearer"
    assert "Authorization: Bearer" in answer.json()["error"]
    assert TOKEN not in answer.text


@pytest.mark.parametrize("scheme", ["bearer", "BEARER", "Bearer"])
async def test_the_scheme_may_be_written_in_any_case(scheme: str) -> None:
    async with client(guard(), Authorization=f"{scheme}  {TOKEN} ") as http:
        assert (await http.get("/mcp")).status_code == 200


@pytest.mark.parametrize("path", sorted(http_guard.OPEN_PATHS))
async def test_what_says_nothing_needs_no_token(path: str) -> None:
    async with client(guard()) as http:
        assert (await http.get(path)).text == "None"


@pytest.mark.parametrize("path", ["/health/", "/HEALTH", "/health/../mcp", "//health", "/.well-known/other", "/x"])
async def test_a_path_that_only_looks_like_an_open_one_needs_a_token(path: str) -> None:
    async with client(guard()) as http:
        assert (await http.get(f"http://127.0.0.1{path}")).status_code == 401


async def test_tokens_that_cannot_be_read_let_nobody_in_and_say_so() -> None:
    def broken(_token: str) -> str:
        raise errors.ConfigError("The tokens cannot be read.")

    app = http_guard.Guard(INSIDE, broken, http_server.Address())
    async with client(app, Authorization=f"Bearer {TOKEN}") as http:
        answer = await http.get("/mcp")
    assert (answer.status_code, answer.json()) == (503, {"error": "The tokens cannot be read."})


async def test_who_sends_too_much_waits_as_long_as_is_said() -> None:
    clock = Clock()
    limit = http_guard.RateLimit(http_guard.Rate(per_second=0.5, burst=2), clock)
    async with client(guard(calls=limit), Authorization=f"Bearer {TOKEN}") as http:
        codes = [(await http.get("/mcp")).status_code for _ in range(3)]
        refused = await http.get("/mcp")
        clock.now += int(refused.headers["retry-after"])
        later = await http.get("/mcp")
    assert codes == [200, 200, 429]
    assert later.status_code == 200


async def test_guessing_is_slowed_down_and_does_not_shut_out_who_has_a_token() -> None:
    limit = http_guard.RateLimit(http_guard.Rate(per_second=0.1, burst=2), Clock())
    app = guard(refusals=limit)
    async with client(app, Authorization="Bearer guess") as http:
        assert [(await http.get("/mcp")).status_code for _ in range(4)] == [401, 401, 429, 429]
    async with client(app, Authorization=f"Bearer {TOKEN}") as http:
        assert (await http.get("/mcp")).status_code == 200


@given(st.lists(st.tuples(st.sampled_from("ab"), st.floats(0, 5)), max_size=60))
def test_no_source_ever_sends_more_than_its_rate_allows(calls: list[tuple[str, float]]) -> None:
    clock = Clock()
    limit = http_guard.RateLimit(http_guard.Rate(per_second=1, burst=3), clock)
    sent = dict.fromkeys("ab", 0)
    for source, pause in calls:
        clock.now += pause
        sent[source] += limit.wait(source) == 0
        assert sent[source] <= 3 + clock.now + 1e-6


def test_who_waits_as_long_as_was_said_is_let_in() -> None:
    clock = Clock()
    limit = http_guard.RateLimit(http_guard.Rate(per_second=3, burst=1), clock)
    assert limit.wait("a") == 0
    clock.now += limit.wait("a")
    assert limit.wait("a") == pytest.approx(0)


def test_sources_that_are_long_silent_are_forgotten() -> None:
    limit = http_guard.RateLimit(http_guard.Rate(per_second=0, burst=1), Clock())
    first = limit.wait("0")
    for number in range(1, http_guard.MAX_SOURCES + 1):
        limit.wait(str(number))
    assert first == limit.wait("0") == 0


@pytest.mark.parametrize("kind", ["websocket", "other"])
async def test_nothing_but_http_is_answered(kind: str) -> None:
    async def receive() -> dict[str, object]:
        raise AssertionError(kind)

    async def send(_message: object) -> None:
        raise AssertionError(kind)

    await guard()({"type": kind, "path": "/mcp", "headers": []}, receive, send)


@pytest.mark.promise("S2")
@pytest.mark.parametrize("path", ["/mcp", "/health"])
@pytest.mark.parametrize("name", ["Authorization", "AUTHORIZATION"])
async def test_nothing_behind_the_door_knows_the_token(path: str, name: str) -> None:
    seen: list[Scope] = []

    async def look(scope: Scope, receive: Receive, send: Send) -> None:
        seen.append(scope)
        await PlainTextResponse("")(scope, receive, send)

    async with client(http_guard.Guard(look, owner, http_server.Address()), **{name: f"Bearer {TOKEN}"}) as http:
        assert (await http.post(path, json={}, headers={"X-Other": "stays"})).status_code == 200
    [scope] = seen
    headers: list[tuple[bytes, bytes]] = scope["headers"]
    assert TOKEN not in str(headers)
    user: object = scope.get("user")
    assert user is None or TOKEN not in str(vars(user))
    assert (b"x-other", b"stays") in headers
