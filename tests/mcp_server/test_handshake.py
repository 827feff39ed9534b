"""A session is answered before its server is loaded, as an earlier one was: to the byte, or not at all."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import memory_client
import pytest
import raw_server

from dispatch_mcp.mcp_server.handshake import stored_answers

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="the gate is a named pipe")

LISTS = ("tools/list", "prompts/list", "resources/list", "resources/templates/list")
GATE = """
import os, sys
if os.environ.get("GATE"):
    open(os.environ["GATE"]).read()
sys.path.remove(os.path.dirname(os.path.dirname(__file__)))
del sys.modules["anyio"]
import anyio
"""
"""Stands in for a library that everything needs: it lets nobody load it before the test says so."""


def hello(version: str) -> dict[str, Any]:
    return {"protocolVersion": version, "capabilities": {}, "clientInfo": {"name": "wire", "version": "1"}}


def opening(era: str) -> list[dict[str, Any]]:
    """Returns the messages with which a client of an era begins."""
    if era == "2026-07-28":
        methods, params = ("server/discover", *LISTS), {"_meta": raw_server.ENVELOPE}
        return [request(number, method, params) for number, method in enumerate(methods)]
    first = [request(0, "initialize", hello(era)), {"jsonrpc": "2.0", "method": "notifications/initialized"}]
    return first + [request(f"list-{number}", method, {}) for number, method in enumerate(LISTS)]


def request(number: int | str, method: str, params: dict[str, Any]) -> dict[str, Any]:
    return {"jsonrpc": "2.0", "id": number, "method": method, "params": params}


class Setting:
    """A state folder and a workspace, and sessions in them one after the other."""

    def __init__(self, folder: Path) -> None:
        self.shop = memory_client.repository(folder / "shop")
        self.home = folder / "state"
        self.gate = folder / "gate"
        self._env = raw_server.environment(self.home, self.shop)
        package = folder / "gated" / "anyio"
        package.mkdir(parents=True)
        (package / "__init__.py").write_text(GATE, encoding="utf-8")
        self._env["PYTHONPATH"] = os.pathsep.join([str(package.parent), *filter(None, [os.environ.get("PYTHONPATH")])])
        os.mkfifo(self.gate)
        self.home.mkdir(mode=0o700)

    def server(self, *, gated: bool = False) -> raw_server.Wire:
        env = {**self._env, "GATE": str(self.gate)} if gated else self._env
        return raw_server.Wire(env, self.shop, fresh=True)

    def open_gate(self) -> None:
        self.gate.write_text("go on", encoding="ascii")

    def answers(self, messages: Sequence[dict[str, Any]]) -> dict[str | int, bytes]:
        """Returns what a whole session answers, by id, and that it answers once."""
        with self.server() as server:
            lines = asked(server, messages)
            assert server.close() == 0
        return lines


def asked(server: raw_server.Wire, messages: Sequence[dict[str, Any]]) -> dict[str | int, bytes]:
    for message in messages:
        server.write(json.dumps(message).encode() + b"\n")
    lines: dict[str | int, bytes] = {}
    for _ in [message for message in messages if "id" in message]:
        line = server.line()
        number = json.loads(line)["id"]
        assert number not in lines, "an answer comes once"
        lines[number] = line
    return lines


@pytest.fixture
def setting(tmp_path: Path) -> Setting:
    return Setting(tmp_path)


@pytest.mark.parametrize("era", ["2026-07-28", "2025-11-25", "2024-11-05"])
@pytest.mark.slice(3)
def test_a_second_session_is_answered_before_anything_is_loaded_and_to_the_byte(setting: Setting, era: str) -> None:
    messages = opening(era)
    live = setting.answers(messages)
    with setting.server(gated=True) as server:
        assert asked(server, messages) == live
        setting.open_gate()
        meta = {"_meta": raw_server.ENVELOPE} if era == "2026-07-28" else {}
        call = request("call", "tools/call", {"name": "get_trace", "arguments": {}, **meta})
        later = asked(server, [call, request("again", "tools/list", meta)])
        assert json.loads(later["call"])["result"]["structuredContent"]["next"]
        own = json.loads(live[1 if meta else "list-0"])
        assert json.loads(later["again"])["result"] == own["result"]
        assert server.close() == 0
    assert not [line for line in server.lines if json.loads(line).get("id") in live][len(live) :]


def test_what_the_sdk_refuses_is_refused_in_its_words_whatever_is_stored(setting: Setting) -> None:
    messages = [
        request(0, "initialize", hello("2025-11-25")),
        request(1, "tools/list", {"_meta": raw_server.ENVELOPE}),  # of the other era
        request(2, "nothing/known", {}),
        request(3, "tools/list", {"cursor": 7}),
    ]
    live = setting.answers(messages)
    assert [number for number, line in live.items() if "error" in json.loads(line)] == [1, 2, 3]
    assert setting.answers(messages) == live


def test_lists_of_one_era_are_no_answers_for_another(setting: Setting) -> None:
    new, old = setting.answers(opening("2026-07-28")), setting.answers(opening("2025-06-18"))
    assert json.loads(new[1])["result"].keys() != json.loads(old["list-0"])["result"].keys()


def test_a_template_of_the_users_is_in_the_lists_of_the_next_session(setting: Setting) -> None:
    messages = opening("2026-07-28")
    before = setting.answers(messages)
    (setting.home / "prompts").mkdir()
    text = "---\ntitle: Mine\ndescription: My own\narguments: []\n---\nDo it.\n"
    (setting.home / "prompts" / "mine.md.j2").write_text(text, encoding="utf-8")
    after = setting.answers(messages)
    names = [[prompt["name"] for prompt in json.loads(lines[2])["result"]["prompts"]] for lines in (before, after)]
    assert "mine" not in names[0]
    assert "mine" in names[1]


def test_stored_answers_that_cannot_be_trusted_count_for_nothing(setting: Setting) -> None:
    messages = opening("2026-07-28")[:2]
    live = setting.answers(messages)
    file = setting.home / stored_answers.FILE
    text = file.read_text(encoding="utf-8")
    stamp, forged = text.split(" ", 1)[0], text.replace("dispatch", "Dispatch")
    assert stored_answers.read(str(setting.home), stamp)
    assert stored_answers.read(str(setting.home), "of another state") == {}
    for damaged in (text[:-200], forged, "", stamp):
        file.write_text(damaged, encoding="utf-8")
        assert stored_answers.read(str(setting.home), stamp) == {}
    file.write_text(stored_answers.document(stamp, json.loads(forged.split("\n", 1)[1])), encoding="utf-8")
    file.chmod(0o666)
    assert setting.answers(messages) == live


def test_who_answers_first_loads_nothing_that_is_not_needed_for_it() -> None:
    code = "import sys\nfrom dispatch_mcp.mcp_server.handshake import early_answers\nprint(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True, timeout=120)
    heavy = {"pydantic", "anyio", "asyncio", "mcp", "pathlib", "logging", "sqlite3", "platformdirs", "dataclasses"}
    assert not heavy & set(done.stdout.split())
