"""The backend documents' code, put together, runs on the real libraries and withstands whoever attacks it."""

from __future__ import annotations

import importlib
import logging
import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import flask
import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from werkzeug.security import generate_password_hash

DOCUMENTS = Path(__file__).parents[2] / "knowledgebase" / "backend"
FILE = re.compile(r"^```python\n(# (\S+\.py)\n.*?)^```$", re.DOTALL | re.MULTILINE)
PEOPLE = {1: ("root", "admin", None), 2: ("mia", "manager", 1), 3: ("uli", "user", 2), 4: ("out", "user", 1)}
NO_PERSON = 2**70


class Browser:
    """Somebody who is signed in, with cookies and the header that proves that a page of ours is calling."""

    def __init__(self, app: flask.Flask, name: str) -> None:
        self.client = app.test_client()
        self.answer = self.client.post("/api/v1/auth/login", json={"email": f"{name}@x.org", "password": f"pw-{name}"})

    def cookie(self, name: str, path: str = "/") -> str:
        cookie = self.client.get_cookie(name, path=path)
        return cookie.value if cookie else ""

    def send(self, method: str, path: str, *, csrf: bool = True, **body: Any) -> Any:
        headers = {"X-CSRF-Token": self.cookie("csrf_token")} if csrf else {}
        return self.client.open(f"/api/v1{path}", method=method, headers=headers, **body)


@pytest.fixture(scope="module")
def modules(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[str], Any]]:
    """Yields what imports a module of the documents' application."""
    root = tmp_path_factory.mktemp("backend")
    for document in DOCUMENTS.glob("*.md"):
        for code, name in FILE.findall(document.read_text(encoding="utf-8")):
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            (root / name).write_text(code, encoding="utf-8")
    sys.path.insert(0, str(root))
    level = logging.getLogger().level
    yield importlib.import_module
    logging.getLogger().setLevel(level)
    sys.path.remove(str(root))
    for name in [name for name in sys.modules if name in ("config", "wsgi", "src") or name.startswith("src.")]:
        del sys.modules[name]


@pytest.fixture
def app(modules: Callable[[str], Any]) -> Iterator[flask.Flask]:
    """Yields the application with four people: an Admin, a Manager, who reports to the Manager, and somebody else."""
    env = {"APP_ENV": "testing", "DATABASE_URL": "sqlite://", "CORS_ORIGINS": "https://app.example.org"}
    application: flask.Flask = modules("src").create_app(modules("config").load(env))
    db, people = modules("src.extensions").db, modules("src.models.db_model")
    with application.app_context():
        db.create_all()
        for number, (name, role, manager) in PEOPLE.items():
            secret = generate_password_hash(f"pw-{name}", method="pbkdf2:sha256:1")
            role_of = people.Role(role)
            db.session.add(
                people.User(
                    id=number, email=f"{name}@x.org", name=name, role=role_of, manager_id=manager, password_hash=secret
                )
            )
            db.session.flush()
        db.session.commit()
    yield application
    with application.app_context():
        db.session.remove()
        db.engine.dispose()


def test_the_documents_make_one_application_that_starts(app: flask.Flask) -> None:
    client = app.test_client()
    assert client.get("/healthz").json == {"status": "ok"}
    assert client.get("/readyz").json == {"status": "ready"}
    refusal = client.get("/api/v1/nowhere")
    error = refusal.get_json()["error"]
    assert (refusal.status_code, error["code"]) == (404, "not_found")
    assert refusal.headers["X-Request-ID"] == error["request_id"]
    wrong_verb = client.put("/api/v1/notes")
    assert (wrong_verb.status_code, wrong_verb.get_json()["error"]["code"]) == (405, "method_not_allowed")
    assert set(wrong_verb.headers["Allow"].split(", ")) == {"GET", "HEAD", "OPTIONS", "POST"}


def test_a_note_is_made_read_listed_and_deleted_by_its_owner_alone(app: flask.Flask) -> None:
    uli, mia = Browser(app, "uli"), Browser(app, "mia")
    made = uli.send("POST", "/notes", json={"title": " Milk "})
    assert (made.status_code, made.json["data"]["title"]) == (201, "Milk")
    path = made.headers["Location"].removeprefix("/api/v1")
    assert uli.send("GET", path).status_code == 200
    assert mia.send("GET", path).status_code == mia.send("DELETE", path).status_code == 404
    assert uli.send("DELETE", path).status_code == 204
    assert uli.send("GET", path).status_code == 404
    assert uli.send("GET", "/notes").json["data"] == []


def test_pages_follow_each_other_without_gap_or_repetition(app: flask.Flask) -> None:
    uli, after = Browser(app, "uli"), ""
    titles: list[str] = []
    for number in range(7):
        uli.send("POST", "/notes", json={"title": str(number)})
    while after is not None:
        answer = uli.send("GET", f"/notes?limit=3&after={after}").json
        titles += [note["title"] for note in answer["data"]]
        after = answer["page"]["next"]
    assert titles == [str(number) for number in range(7)]
    assert uli.send("GET", "/notes?limit=0").status_code == 422


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
FIELDS = ("email", "password", "title", "name", "role", "manager_id")
BODIES = JSON | st.dictionaries(st.sampled_from(FIELDS), JSON, max_size=4)
PATHS = (
    *(("POST", "/auth/login"), ("POST", "/notes"), ("PATCH", "/users/3"), ("PATCH", f"/users/{NO_PERSON}")),
    *(("DELETE", f"/notes/{NO_PERSON}"), ("GET", f"/notes?after={NO_PERSON}"), ("GET", "/users?q=%00%25_")),
)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.sampled_from(PATHS), BODIES)
def test_no_body_path_or_query_is_answered_with_500(app: flask.Flask, call: tuple[str, str], body: object) -> None:
    root = Browser(app, "root")
    assert root.send(*call, json=body).status_code < 500


@pytest.mark.parametrize(
    "data", [b"{", b"\xff", b"null", b"[]", b'"\\ud800"', b'{"email": "a\\u0000@b", "password": "p"}']
)
def test_a_malformed_sign_in_is_refused_and_never_a_crash(app: flask.Flask, data: bytes) -> None:
    answer = app.test_client().post("/api/v1/auth/login", data=data, content_type="application/json")
    assert answer.status_code in (400, 422)


@pytest.mark.parametrize("path", ["/auth/refresh", "/auth/logout", "/notes"])
def test_no_other_page_can_change_anything_for_who_is_signed_in(app: flask.Flask, path: str) -> None:
    uli = Browser(app, "uli")
    assert uli.send("POST", path, csrf=False, json={"title": "x"}).status_code == 403
    assert uli.send("GET", "/notes").status_code == 200


def test_a_refresh_token_that_turns_up_twice_ends_its_family(app: flask.Flask) -> None:
    uli = Browser(app, "uli")
    stolen = uli.cookie("refresh_token", "/api/v1/auth")
    assert uli.send("POST", "/auth/refresh").status_code == 200
    fresh = uli.cookie("refresh_token", "/api/v1/auth")
    for token in (stolen, fresh):
        uli.client.set_cookie("refresh_token", token, path="/api/v1/auth")
        assert uli.send("POST", "/auth/refresh").status_code == 401


def test_tokens_cannot_be_swapped_forged_or_used_after_signing_out(app: flask.Flask) -> None:
    uli = Browser(app, "uli")
    access, refresh = uli.cookie("access_token", "/api/v1"), uli.cookie("refresh_token", "/api/v1/auth")
    for name, path, token in (
        ("access_token", "/api/v1", refresh),
        ("access_token", "/api/v1", access[:-2]),
        ("access_token", "/api/v1", "eyJhbGciOiJub25lIn0.eyJzdWIiOiIxIn0."),
    ):
        uli.client.set_cookie(name, token, path=path)
        assert uli.send("GET", "/notes").status_code == 401
    uli.client.set_cookie("access_token", access, path="/api/v1")
    assert uli.send("POST", "/auth/logout").status_code == 200
    uli.client.set_cookie("refresh_token", refresh, path="/api/v1/auth")
    uli.client.set_cookie("csrf_token", "x", path="/")
    assert uli.send("POST", "/auth/refresh").status_code == 401


def test_five_wrong_passwords_lock_an_account_and_nobody_can_tell(app: flask.Flask) -> None:
    client = app.test_client()
    answers: list[str] = [
        client.post("/api/v1/auth/login", json={"email": email, "password": word}).get_json()["error"]["message"]
        for email, word in (("nobody@x.org", "x"), *[("out@x.org", "x")] * 5, ("out@x.org", "pw-out"))
    ]
    assert len(set(answers)) == 1
    assert Browser(app, "uli").answer.status_code == 200


@pytest.mark.parametrize(
    ("actor", "target", "changes", "status"),
    [
        ("mia", 2, {"manager_id": None}, 403),
        ("mia", 2, {"manager_id": 3}, 403),
        ("mia", 3, {"manager_id": None}, 403),
        ("mia", 3, {"manager_id": 1}, 404),
        ("mia", 3, {"manager_id": NO_PERSON}, 422),
        ("mia", 2, {"role": "admin"}, 403),
        ("mia", 3, {"role": "manager"}, 403),
        ("mia", 4, {"name": "x"}, 404),
        ("mia", 4, {"manager_id": 2}, 404),
        ("uli", 3, {"manager_id": None}, 403),
        ("uli", 3, {"role": "admin"}, 403),
        ("uli", 2, {"name": "x"}, 404),
        ("root", 1, {"role": "user"}, 403),
        ("root", 1, {"manager_id": 3}, 409),
        ("root", 4, {"manager_id": 3}, 409),
        ("root", 2, {"role": "user"}, 409),
        ("root", 3, {"password_hash": "x"}, 422),
        ("root", 3, {"name": None}, 422),
        ("mia", 3, {"name": "x"}, 200),
        ("mia", 3, {"manager_id": 2}, 200),
        ("root", 3, {"manager_id": None}, 200),
        ("root", 3, {"role": "manager"}, 200),
        ("uli", 3, {"name": "x"}, 200),
    ],
)
def test_people_are_changed_as_the_table_says_and_no_further(
    app: flask.Flask, actor: str, target: int, changes: dict[str, Any], status: int
) -> None:
    before = Browser(app, "root").send("GET", "/users").json["data"]
    assert Browser(app, actor).send("PATCH", f"/users/{target}", json=changes).status_code == status
    after = Browser(app, "root").send("GET", "/users").json["data"]
    assert [row | (changes if row["id"] == target and status == 200 else {}) for row in before] == after


@pytest.mark.parametrize(
    ("actor", "target", "status"),
    [("mia", 3, 204), ("mia", 4, 404), ("mia", 2, 403), ("uli", 3, 403), ("root", 1, 403), ("root", 2, 204)],
)
def test_who_is_deactivated_is_out_at_once_and_their_reports_move_up(
    app: flask.Flask, actor: str, target: int, status: int
) -> None:
    victim, root = Browser(app, PEOPLE[target][0]), Browser(app, "root")
    assert Browser(app, actor).send("DELETE", f"/users/{target}").status_code == status
    if status == 204:
        assert victim.send("GET", "/notes").status_code == victim.send("POST", "/auth/refresh").status_code == 401
        rows = {row["id"]: row for row in root.send("GET", "/users").json["data"]}
        assert target not in rows
        assert all(row["manager_id"] != target for row in rows.values())


@pytest.mark.parametrize(
    ("actor", "names"), [("root", {"root", "mia", "uli", "out"}), ("mia", {"mia", "uli"}), ("uli", {"uli"})]
)
def test_everybody_sees_their_own_people_and_a_wildcard_finds_nobody_else(
    app: flask.Flask, actor: str, names: set[str]
) -> None:
    browser = Browser(app, actor)
    assert {row["name"] for row in browser.send("GET", "/users").json["data"]} == names
    assert browser.send("GET", "/users?q=%25").json["data"] == browser.send("GET", "/users?q=_").json["data"] == []


@pytest.mark.parametrize(("origin", "is_allowed"), [("https://app.example.org", True), ("https://evil.example", False)])
def test_only_pages_of_origins_that_are_named_may_read_answers(
    app: flask.Flask, origin: str, is_allowed: object
) -> None:
    headers = {"Origin": origin, "Access-Control-Request-Method": "POST"}
    answer = app.test_client().options("/api/v1/notes", headers=headers)
    assert (answer.headers.get("Access-Control-Allow-Origin") == origin) == is_allowed


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"APP_ENV": "prod"}, "APP_ENV"),
        ({"JWT_KEY": "short"}, "JWT_KEY needs 32"),
        ({"JWT_KEY": ""}, "JWT_KEY is not set"),
        ({"JWT_KEY_FILE": "/nowhere/at/all"}, "JWT_KEY_FILE cannot be read"),
        ({"CORS_ORIGINS": "*"}, "CORS_ORIGINS"),
        ({"COOKIE_SECURE": "no"}, "COOKIE_SECURE"),
        ({"MAX_BODY_BYTES": "²"}, "MAX_BODY_BYTES"),
        ({"LOG_LEVEL": "LOUD"}, "LOG_LEVEL"),
    ],
)
def test_settings_that_are_missing_wrong_or_unsafe_stop_the_start_by_name(
    modules: Callable[[str], Any], change: dict[str, str], problem: str
) -> None:
    config = modules("config")
    keys = ("SECRET_KEY", "JWT_KEY", "DATABASE_URL", "SMTP_HOST", "SMTP_PASSWORD", "OPENAI_API_KEY", "OPENAI_MODEL")
    good = dict.fromkeys(keys, "k" * 40)
    assert config.load(good).COOKIE_SECURE
    with pytest.raises(config.ConfigError, match=re.escape(problem)):
        config.load(good | change)


@pytest.mark.parametrize(
    ("timestamp", "is_genuine"),
    [("1000", True), ("1", False), ("²", False), ("9" * 5000, False), ("", False), ("-1", False)],
)
def test_a_webhook_counts_only_with_a_fresh_signature_whatever_its_headers_say(
    modules: Callable[[str], Any], timestamp: str, is_genuine: object
) -> None:
    signatures = modules("src.services.signatures")
    mac = signatures.hmac.new(b"key", timestamp.encode() + b".body", signatures.hashlib.sha256).hexdigest()
    assert signatures.genuine(b"key", timestamp, b"body", mac, now=1100) == is_genuine
    assert not signatures.genuine(b"other", timestamp, b"body", mac, now=1100)


def calls(
    modules: Callable[[str], Any], *answers: httpx.Response | Exception
) -> tuple[Any, list[float], list[httpx.Request]]:
    """Returns a client whose calls are answered so, the pauses it makes, and the requests it sends."""
    waits: list[float] = []
    requests: list[httpx.Request] = []

    def answer(request: httpx.Request) -> httpx.Response:
        requests.append(request)
        each = answers[len(requests) - 1]
        if isinstance(each, Exception):
            raise each
        return each

    made = modules("src.services.http").Client(
        "bank", "https://bank.example", {}, sleep=waits.append, transport=httpx.MockTransport(answer)
    )
    return made, waits, requests


def test_a_read_is_tried_again_after_what_may_pass_and_as_late_as_the_other_side_asks(
    modules: Callable[[str], Any],
) -> None:
    busy = httpx.Response(503, headers={"Retry-After": "7"})
    client, waits, requests = calls(modules, busy, httpx.ConnectError("no"), httpx.Response(200, json={"a": 1}))
    with client.http:
        assert client.call("GET", "/x") == {"a": 1}
    assert (len(requests), waits[0]) == (3, 7.0)


@pytest.mark.parametrize("wish", ["²", "-1", "Wed, 21 Oct 2026 07:28:00 GMT", "9" * 400])
def test_an_odd_wish_to_wait_is_never_a_crash_or_a_long_wait(modules: Callable[[str], Any], wish: str) -> None:
    assert 0 <= modules("src.services.http").pause(1, wish) <= 30


@pytest.mark.parametrize(
    ("method", "answer", "later"),
    [
        ("POST", httpx.Response(503), True),
        ("POST", httpx.ReadTimeout("slow"), True),
        ("GET", httpx.Response(404), False),
        ("GET", httpx.Response(200, text="<html>"), False),
    ],
)
def test_what_may_not_be_repeated_is_sent_once_and_its_failure_says_whether_later_helps(
    modules: Callable[[str], Any], method: str, answer: httpx.Response | Exception, later: object
) -> None:
    client, waits, requests = calls(modules, answer)
    with client.http, pytest.raises(modules("src.services.http").ServiceError) as failure:
        client.call(method, "/pay")
    assert (len(requests), waits, failure.value.later) == (1, [], later)
