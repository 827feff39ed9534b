"""Who answers while the server is loaded: what is sure and nothing else, and every line is handed over."""

from __future__ import annotations

import io
import json
import sys
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from dispatch_mcp.mcp_server.handshake import early_answers, input_lines, stored_answers

LIST: dict[str, Any] = {"jsonrpc": "2.0", "id": 7, "method": "tools/list", "params": {}}
NOW: dict[str, Any] = {"jsonrpc": "2.0", "method": "notifications/initialized"}
HELLO: dict[str, Any] = {"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": {"protocolVersion": "2025-11-25"}}


def question(*messages: dict[str, Any]) -> str:
    """Returns what the last of these messages asks in a session of all of them."""
    session = stored_answers.SessionQuestions()
    return [session.question(message) for message in messages][-1]


def lines_of(*messages: dict[str, Any] | bytes) -> list[bytes]:
    return [part if isinstance(part, bytes) else json.dumps(part).encode() + b"\n" for part in messages]


def session(lines: Sequence[bytes], answers: dict[str, str]) -> tuple[list[bytes], early_answers.EarlyAnswers]:
    """Returns what is written to a client that sends these lines, once all are read, and who has answered."""
    written: list[bytes] = []
    source = input_lines.Lines(io.BytesIO(b"".join(lines)))
    early = early_answers.EarlyAnswers(source, answers, written.append)
    early.start()
    handed = [early.next() for _ in range(len(lines) + 1)]
    assert handed == [*lines, None], "the server gets every line, in order"
    return written, early


def test_a_known_question_is_answered_under_its_own_id() -> None:
    answers = {question(HELLO): '{"hello":1}', question(HELLO, NOW, LIST): '{"tools":[]}'}
    written, early = session(lines_of(HELLO, NOW, LIST), answers)
    assert written == [
        b'{"jsonrpc":"2.0","id":1,"result":{"hello":1}}\n',
        b'{"jsonrpc":"2.0","id":7,"result":{"tools":[]}}\n',
    ]
    assert early.given == {1: '{"hello":1}', 7: '{"tools":[]}'}


def test_the_same_list_is_another_question_in_another_session() -> None:
    answers = {question(HELLO, NOW, LIST): '{"tools":[]}'}
    for beginning in ([], [HELLO], [NOW, HELLO], [HELLO | {"params": {"protocolVersion": "2024-11-05"}}, NOW]):
        assert session(lines_of(*beginning, LIST), answers)[0] == []
    assert session(lines_of(HELLO, NOW, LIST | {"params": {"cursor": "x"}}), answers)[0] == []


@pytest.mark.parametrize(
    "odd",
    [
        b"no json\n",
        b'[{"jsonrpc":"2.0","id":3,"method":"ping"}]\n',
        b'{"jsonrpc":"2.0","id":null,"method":"initialize","params":{}}\n',
        b'{"jsonrpc":"2.0","id":1.5,"method":"ping"}\n',
        b'{"jsonrpc":"1.0","id":3,"method":"ping"}\n',
        b'{"jsonrpc":"2.0","id":3,"method":"ping","params":[]}\n',
        b'{"jsonrpc":"2.0","id":3,"method":"ping","params":{"a":"\\ud83d"}}\n',
        b'{"jsonrpc":"2.0","id":3,"method":"ping","params":{"a":' + b"[" * 300 + b"]" * 300 + b"}}\n",
        b'{"jsonrpc":"2.0","id":3,"method":"ping","params":{"a":"' + b"x" * early_answers.LONGEST + b'"}}\n',
        b"\xff\xfe\n",
    ],
)
def test_after_a_line_that_is_not_sure_nothing_is_answered_any_more(odd: bytes) -> None:
    answers = {question(HELLO): "{}", question(HELLO, NOW): "{}", question(LIST): "{}"}
    assert session([odd, *lines_of(HELLO, LIST)], answers)[0] == []
    assert len(session([*lines_of(HELLO), odd], answers)[0]) == 1


@pytest.mark.parametrize("number", ["two words", 'a"b', "ü", 2**60, True])
def test_an_id_that_could_be_written_in_another_way_is_left_to_the_server(number: str | int) -> None:
    assert session(lines_of(HELLO | {"id": number}), {question(HELLO): "{}"})[0] == []


def test_a_request_that_asks_for_progress_or_comes_twice_is_left_to_the_server() -> None:
    asks = HELLO | {"params": {"_meta": {"progressToken": 1}}}
    assert question(asks) == ""
    again = LIST | {"id": HELLO["id"]}
    answers = {question(HELLO): "{}", question(HELLO, again): "{}"}
    assert len(session(lines_of(HELLO, again), answers)[0]) == 1


def test_a_client_that_has_gone_takes_no_line_from_the_server() -> None:
    def gone(_data: bytes) -> None:
        raise BrokenPipeError

    lines = lines_of(HELLO, LIST)
    early = early_answers.EarlyAnswers(
        input_lines.Lines(io.BytesIO(b"".join(lines))), {question(HELLO): "{}", question(HELLO, LIST): "{}"}, gone
    )
    early.start()
    assert [early.next(), early.next(), early.next()] == [*lines, None]


class Tap:
    """Lines that come one by one, when the test says so."""

    def __init__(self) -> None:
        self.lines = list[bytes]()
        self._ready = threading.Semaphore(0)

    def put(self, line: bytes) -> None:
        self.lines.append(line)
        self._ready.release()

    def next(self) -> bytes:
        assert self._ready.acquire(timeout=120)
        return self.lines.pop(0)


def test_once_the_server_is_there_it_alone_answers_and_reads() -> None:
    written, tap = list[bytes](), Tap()
    answers = {question(HELLO): "{}", question(HELLO, LIST): "{}"}
    early = early_answers.EarlyAnswers(tap, answers, written.append)
    early.start()
    first, second, third = lines_of(HELLO, LIST, NOW)
    tap.put(first)
    assert early.next() == first
    early.stop()
    tap.put(second)
    assert early.next() == second
    tap.put(third)
    assert early.next() == third
    assert len(written) == 1


def test_a_connection_that_is_broken_off_ends_the_wait_for_a_line() -> None:
    class Broken:
        def next(self) -> bytes:
            raise ConnectionResetError

    early = early_answers.EarlyAnswers(Broken(), {}, list[bytes]().append)
    early.start()
    with pytest.raises(ConnectionResetError):
        early.next()


@pytest.mark.skipif(sys.platform == "win32", reason="links need a right there")
def test_links_in_circles_among_the_users_documents_hold_up_no_start(tmp_path: Path) -> None:
    documents = tmp_path / "knowledgebase"
    documents.mkdir()
    for name in ("here", "there"):
        (documents / name).symlink_to(documents)
    before = stored_answers.stamp_of(str(tmp_path), {})
    (documents / "new.md").write_text("New")
    assert stored_answers.stamp_of(str(tmp_path), {}) != before


def test_only_so_many_answers_are_kept_the_newest_ones() -> None:
    answers = {f"question {number}": "{}" for number in range(stored_answers.MOST_ANSWERS + 5)}
    kept = json.loads(stored_answers.document("stamp", answers).split("\n", 1)[1])
    assert list(kept) == list(answers)[5:]
