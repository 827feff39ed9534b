"""Answers a session while the server is still being loaded; then hands over every line that came meanwhile.

Loading takes half a second, and the first things that clients ask are always the same. A thread reads their lines and
answers those to which there is a stored answer. The server then reads all of them once more, from the first, so that
its session stands where the client's does; what it answers to them a second time, `AnswerKeeper` keeps back.
"""

from __future__ import annotations

import json
import os
import queue
import sys
import threading
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from types import MappingProxyType
from typing import Final

from dispatch_mcp.mcp_server.handshake import input_lines, stored_answers
from dispatch_mcp.text import json_types

LONGEST: Final = 2**16
"""Bytes of a line that is looked at here."""

MOST_BRACKETS: Final = 200
"""So many of them cannot nest deeper than the server reads."""

SWITCH_S: Final = 0.001
"""Seconds after which the thread that loads lets the one that answers go on."""


class EarlyAnswers:
    """Reads lines in a thread, answers what it can, and is the source of all of them for who comes later."""

    def __init__(
        self, lines: input_lines.LineSource, answers: Mapping[str, str], write: Callable[[bytes], object]
    ) -> None:
        """`answers` are the stored ones by question; `write` sends a line to the client."""
        self.given: dict[stored_answers.Id, str] = {}
        self._lines = lines
        self._answers: Mapping[str, str] = answers
        self._write = write
        self._session = stored_answers.SessionQuestions()
        self._queue: queue.SimpleQueue[tuple[input_lines.CutLine | bytes | OSError | None, bool]] = queue.SimpleQueue()
        self._turn = threading.Lock()
        """Held for each line; so who has had it after `_is_over` was set writes to the client alone."""
        self._is_over = False
        self._is_direct = True

    def start(self) -> None:
        """Begins to read."""
        self._is_direct = False
        threading.Thread(target=self._work, daemon=True).start()

    def stop(self) -> None:
        """Lets nothing be answered here from now on; waits for an answer that is being written."""
        with self._turn:
            self._is_over = True

    def next(self) -> input_lines.CutLine | bytes | None:
        """Waits for the next line and returns it, the first one first; for the server, after `stop`.

        Raises:
            OSError: there is no reading any more, as of a connection that was broken off.
        """
        if self._is_direct:
            return self._lines.next()
        line, self._is_direct = self._queue.get()
        if isinstance(line, OSError):
            raise line
        return line

    def _work(self) -> None:
        is_last = False
        while not is_last:
            try:
                line = self._lines.next()
            except OSError as fault:  # whoever waits for a line has to hear of it
                self._queue.put((fault, True))
                return
            with self._turn:
                is_last = self._is_over or line is None
                if not is_last and self._answers:
                    self._answer(line)
                self._queue.put((line, is_last))

    def _answer(self, line: input_lines.CutLine | bytes | None) -> None:
        message = _message(line) if isinstance(line, bytes) else None
        if message is None:  # whoever does not know what was said so far answers nothing more
            self._answers = {}
            return
        question, request_id = self._session.question(message), stored_answers.id_of(message)
        answer = self._answers.get(question) if question else None
        if answer is None or request_id is None or request_id in self.given:
            return
        self.given[request_id] = answer
        try:
            self._write(stored_answers.line(request_id, answer))
        except OSError:  # the client has gone; the server will see that
            self._answers = {}


def _message(line: bytes) -> Mapping[str, json_types.Json] | None:
    """Returns the message of a line, None for what is none, or is not sure to be read as the server reads it."""
    if len(line) > LONGEST or line.count(b"{") + line.count(b"[") > MOST_BRACKETS or b"\\ud" in line.lower():
        return None
    try:
        value: json_types.Json = json.loads(line.decode())
    except (ValueError, RecursionError):
        return None
    return value if json_types.is_object(value) and _is_plain(value) else None


def _is_plain(message: Mapping[str, json_types.Json]) -> bool:
    """Returns whether a message has exactly what it must have: a request or a notification, not an answer to us."""
    has_id = stored_answers.id_of(message) is not None if "id" in message else True
    has_params = json_types.is_object(message["params"]) if "params" in message else True
    is_named = message.get("jsonrpc") == "2.0" and isinstance(message.get("method"), str)
    return is_named and has_id and has_params and message.keys() <= {"jsonrpc", "id", "method", "params"}


class Beginning:
    """A session of this process that has begun on stdin, in a state of everything that its answers come from."""

    def __init__(self, home: str = "", env: Mapping[str, str] = MappingProxyType({})) -> None:
        """Reads what is stored; `home` is the state directory, empty where nothing is kept."""
        self.home = home
        self._env = dict(env)
        self.stamp = self.stamp_now()
        self.answers = stored_answers.read(home, self.stamp) if home else {}
        self._stdin = input_lines.private_stdin()
        self.early = EarlyAnswers(input_lines.Lines(self._stdin.__enter__()), self.answers, _to_stdout)

    def stamp_now(self) -> str:
        """Returns in which state everything is now."""
        return stored_answers.stamp_of(self.home, self._env) if self.home else ""

    @contextmanager
    def lines(self) -> Generator[EarlyAnswers]:
        """Ends the early answers and yields the lines of the whole session; then stdin is everybody's again."""
        self.early.stop()
        try:
            yield self.early
        finally:
            self._stdin.__exit__(None, None, None)


def begin(home: str, env: Mapping[str, str]) -> Beginning:
    """Starts to answer on stdin and stdout what can be answered at once."""
    sys.setswitchinterval(SWITCH_S)
    beginning = Beginning(home, env)
    beginning.early.start()
    return beginning


def _to_stdout(data: bytes) -> None:
    number = sys.stdout.fileno()
    while data:
        data = data[os.write(number, data) :]
