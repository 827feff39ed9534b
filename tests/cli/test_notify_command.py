"""`dispatch-mcp notify`, and what commands tell people of their runs."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import alert_receiver
import command_runs
import pytest
import store_setup

from dispatch_mcp.alerts import webhook


@pytest.fixture
def shell(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> command_runs.Shell:
    return command_runs.shell(monkeypatch, capsys)


@pytest.fixture
def receiver(monkeypatch: pytest.MonkeyPatch) -> Iterator[alert_receiver.Receiver]:
    with alert_receiver.receiving() as started:
        monkeypatch.setenv("DISPATCH_MCP_NOTIFY", "webhook")
        monkeypatch.setenv("DISPATCH_MCP_NOTIFY_URL", started.url)
        yield started


def scripted(**script: Any) -> dict[str, Any]:
    return {"id": "a", "do": "Rotate the keys", "worker": "scripted", "inputs": {"script": script}}


def test_without_a_way_of_telling_it_says_how_to_get_one(shell: command_runs.Shell) -> None:
    assert "You are told of nothing. Set `notify`" in shell("notify").out
    answer = shell("notify", "test")
    assert answer.code == 2
    assert "Set `notify`" in answer.err


def test_a_trial_is_sent_at_once_and_says_what_came_of_it(
    shell: command_runs.Shell, receiver: alert_receiver.Receiver
) -> None:
    assert shell("notify", "test").out == "Sent by webhook.\n"
    receiver.answers = [503]
    answer = shell("notify", "test", "--json")
    assert (answer.code, answer.json["sent"]) == (1, False)
    assert "answered 503" in answer.json["trouble"]
    assert [delivery.document["kind"] for delivery in receiver.deliveries] == ["trial", "trial"]


@pytest.mark.promise("S10")
def test_no_command_shows_what_a_webhook_lets_in_by(shell: command_runs.Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DISPATCH_MCP_NOTIFY", "webhook")
    monkeypatch.setenv("DISPATCH_MCP_NOTIFY_URL", "https://127.0.0.1:1/services/T01/B02/kw4ngx?team=ann")
    for words in (["config"], ["config", "--json"], ["doctor"], ["notify"], ["notify", "test"], ["where", "--json"]):
        answer = shell(*words)
        assert "kw4ngx" not in f"{answer.out}{answer.err}"
    assert "https://127.0.0.1:1[redacted:" in shell("config").out


def test_the_key_is_printed_whole_for_the_receiver(shell: command_runs.Shell, own_home: Path) -> None:
    key = shell("notify", "key").out.strip()
    assert key.startswith("whsec_")
    assert shell("notify", "key", "--json").json == {"key": key} == {"key": webhook.key(own_home / "state")}


@pytest.mark.parametrize(("script", "kind"), [({}, "finished"), ({"error": "no", "fail_times": 9}, "failed")])
def test_a_run_at_a_shell_has_told_of_its_end_when_the_command_returns(
    shell: command_runs.Shell,
    receiver: alert_receiver.Receiver,
    tmp_path: Path,
    script: dict[str, Any],
    kind: str,
) -> None:
    document = command_runs.written(tmp_path, [scripted(**script)])
    shell("run", document, "--quiet", "--workspace", str(tmp_path))
    (delivery,) = receiver.deliveries
    assert (delivery.document["kind"], delivery.document["project"]) == (kind, tmp_path.name)
    assert b"otate" not in delivery.body


def test_what_was_not_taken_waits_and_doctor_says_why(
    shell: command_runs.Shell, receiver: alert_receiver.Receiver, tmp_path: Path
) -> None:
    receiver.answers = [500] * 50
    document = command_runs.written(tmp_path, [scripted()])
    shell("run", document, "--quiet", "--workspace", str(tmp_path))
    answer = shell("notify", "--json").json
    assert (answer["waiting"], answer["notify"]) == (1, "webhook")
    assert "answered 500" in answer["last_trouble"]
    (fact,) = [fact for fact in shell("doctor", "--json").json if fact["what"] == "notifications"]
    assert fact["mark"] == "!"
    assert "1 not told yet" in fact["detail"]


@pytest.mark.usefixtures("receiver")
def test_a_command_that_only_looks_or_plans_leaves_telling_to_others(
    shell: command_runs.Shell, own_home: Path, tmp_path: Path
) -> None:
    document = command_runs.written(tmp_path, [{"id": "gate", "do": "May we go on?", "worker": "human"}])
    begun = "SELECT count(*) FROM alert_target"
    assert shell("plan", document).code == 0
    assert store_setup.raw(own_home / "state", begun) == [(0,)]
    run_id = shell("run", document, "--quiet", "--workspace", str(tmp_path)).json["correlation_id"]
    assert store_setup.raw(own_home / "state", begun) == [(1,)]
    store_setup.raw(own_home / "state", "DELETE FROM alert_target")
    for command in (("status",), ("status", run_id), ("trace", run_id), ("notify",), ("plan", document)):
        assert shell(*command).code == 0
    assert shell("limit", run_id, "--begin-anyway").code == 1
    assert store_setup.raw(own_home / "state", begun) == [(0,)]
    assert shell("steer", "cancel", run_id).code == 0
    assert store_setup.raw(own_home / "state", begun) == [(1,)]


@pytest.mark.skipif(sys.platform == "win32", reason="no programs are started there")
def test_a_program_is_told_with_the_words_that_stay_here(
    shell: command_runs.Shell, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    heard = tmp_path / "heard"
    code = f"import sys; open({str(heard)!r}, 'a').write(sys.stdin.read())"
    monkeypatch.setenv("DISPATCH_MCP_NOTIFY", "command")
    monkeypatch.setenv("DISPATCH_MCP_NOTIFY_COMMAND", json.dumps([sys.executable, "-c", code]))
    shell("run", command_runs.written(tmp_path, [scripted()]), "--quiet", "--workspace", str(tmp_path))
    assert json.loads(heard.read_text())["title"] == "Rotate the keys"
    assert "by command" in {fact["what"]: fact["detail"] for fact in shell("doctor", "--json").json}["notifications"]


def test_a_way_that_is_not_there_is_named_by_the_check(
    shell: command_runs.Shell, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("DISPATCH_MCP_NOTIFY", "desktop")
    assert "nothing here shows notifications" in shell("config", "check").err
    monkeypatch.setenv("DISPATCH_MCP_NOTIFY", "command")
    monkeypatch.setenv("DISPATCH_MCP_NOTIFY_COMMAND", '["no-such-program"]')
    assert "'no-such-program' is no program" in shell("config", "check").err
