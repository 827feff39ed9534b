"""What earlier sessions were answered while they began, so that the next one need not wait until all is loaded.

An answer holds for one question in one kind of session, and for one state of everything that it could come from: the
program, its libraries, the settings and the user's documents. `stamp_of` names that state. Whatever else is asked, or
asked in another state, is answered by the server itself. Only the standard library is imported.
"""

from __future__ import annotations

import hashlib
import json
import os
import sys
import zlib
from collections.abc import Iterator, Mapping
from typing import Final

from dispatch_mcp import __version__
from dispatch_mcp.text import json_types

FILE: Final = "handshake.json"

METHODS: Final = frozenset(
    {
        "initialize",
        "server/discover",
        "tools/list",
        "prompts/list",
        "resources/list",
        "resources/templates/list",
    }
)
"""What is answered from nothing but the program and the user's documents, and changes nothing but the session."""

MOST_ANSWERS: Final = 40
MOST_BYTES: Final = 4 * 2**20
"""What is kept at most; a client asks five questions, about 100 kB."""

_MOST_STATE: Final = 2**16
_OTHERS_MAY_WRITE: Final = 0o022
_VARIABLES: Final = ("DISPATCH_MCP_", "MCP_", "FASTMCP_")
"""How variables begin that we, or the SDK, take settings from."""

_PACKAGE: Final = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
_DOCUMENTS: Final = ("prompts", "knowledgebase")
"""The folders of documents that lists name, in the state directory and in a checkout of ours."""

Id = int | str


class SessionQuestions:
    """What of a session decides how its questions are answered: how it was opened, and its handshakes since."""

    def __init__(self) -> None:
        self._state = ""
        self._is_open = False

    def question(self, message: Mapping[str, json_types.Json]) -> str:
        """Returns what a message asks in this session, an empty text where no stored answer could answer it.

        Every message has to come here, in its turn.
        """
        method, params = message.get("method"), message.get("params")
        if not isinstance(method, str) or len(self._state) > _MOST_STATE:
            return ""
        if "id" not in message:
            if method == "notifications/initialized":
                self._state += f"\n{method}"
            return ""
        meta = params.get("_meta") if json_types.is_object(params) else None
        words, state = _canonical([method, params]), self._state
        if method == "initialize":
            self._state += f"\n{words}"
        elif not self._is_open:  # of any other first request, its envelope says which era it opens
            self._state += f"\n{_canonical(meta)}"
        self._is_open = True
        has_progress = json_types.is_object(meta) and "progressToken" in meta
        return "" if method not in METHODS or has_progress else f"{state}\n{words}"


def _canonical(value: json_types.Json) -> str:
    return json.dumps(value, sort_keys=True, separators=(",", ":"))


def id_of(message: Mapping[str, json_types.Json]) -> Id | None:
    """Returns the id of a request, None for one that JSON could write in several ways."""
    number = message.get("id")
    if isinstance(number, int) and not isinstance(number, bool) and abs(number) < 2**53:
        return number
    plain = isinstance(number, str) and number.isascii() and number.replace("-", "").replace("_", "").isalnum()
    return number if plain and isinstance(number, str) else None


def line(request_id: Id, answer: str) -> bytes:
    """Returns the line that answers a request, as the SDK would write it."""
    number = f'"{request_id}"' if isinstance(request_id, str) else request_id
    return f'{{"jsonrpc":"2.0","id":{number},"result":{answer}}}\n'.encode()


def stamp_of(home: str, env: Mapping[str, str]) -> str:
    """Returns what tells two states apart of everything that answers come from."""
    rows = [__version__, sys.version, home, *(f"{name}={env[name]}" for name in env if name.startswith(_VARIABLES))]
    rows += _looks(_PACKAGE)
    root = os.path.dirname(os.path.dirname(_PACKAGE))
    if os.path.isfile(os.path.join(root, "pyproject.toml")):
        rows += [row for name in _DOCUMENTS for row in _looks(os.path.join(root, name))]
    rows += [row for name in _DOCUMENTS for row in _looks(os.path.join(home, name))]
    rows += [*_look(os.path.join(home, "config.toml")), *_libraries()]
    return hashlib.sha256("\0".join(sorted(rows)).encode("utf-8", "surrogateescape")).hexdigest()


def _libraries() -> Iterator[str]:
    """Yields the names of what is installed beside the SDK, which hold the versions."""
    folder = next((path for path in sys.path if os.path.isdir(os.path.join(path, "mcp"))), "")
    yield from _look(os.path.join(folder, "mcp", "__init__.py"))
    yield from (name for name in os.listdir(folder or os.curdir) if name.endswith(("-info", ".pth")))


def _looks(folder: str) -> Iterator[str]:
    """Yields what tells two states of the files below a folder apart; as for who reads them, not behind links."""
    waiting = [folder]
    while waiting:
        try:
            with os.scandir(waiting.pop()) as entries:
                for entry in entries:
                    if entry.name == "__pycache__":
                        continue
                    if entry.is_dir(follow_symlinks=False):
                        waiting.append(entry.path)
                    else:
                        yield from _look(entry.path)
        except OSError:
            continue


def _look(path: str) -> Iterator[str]:
    try:
        status = os.stat(path)
    except OSError:
        return
    yield f"{path} {status.st_size} {status.st_mtime_ns} {status.st_mode} {status.st_uid}"


def read(home: str, stamp: str) -> dict[str, str]:
    """Returns the answers by question that are kept for a state; none where there are none, or none to be trusted."""
    try:
        with open(os.path.join(home, FILE), "rb") as file:
            if not _is_private(os.fstat(file.fileno())):
                return {}
            head, _, body = file.read(MOST_BYTES).partition(b"\n")
        if head != _head(stamp, body):
            return {}
        answers: json_types.Json = json.loads(body)
    except (OSError, ValueError, RecursionError):
        return {}
    if not json_types.is_object(answers):
        return {}
    return {question: answer for question, answer in answers.items() if isinstance(answer, str)}


def _is_private(status: os.stat_result) -> bool:
    """Returns whether nobody but the user can have written a file: what it holds is told to an assistant."""
    return os.name != "posix" or (status.st_uid == os.getuid() and not status.st_mode & _OTHERS_MAY_WRITE)


def _head(stamp: str, body: bytes) -> bytes:
    return f"{stamp} {zlib.crc32(body):08x}".encode()


def document(stamp: str, answers: Mapping[str, str]) -> str:
    """Returns the file that keeps answers; the newest of them where they are too many."""
    newest = dict(list(answers.items())[-MOST_ANSWERS:])
    body = json.dumps(newest)
    return f"{_head(stamp, body.encode()).decode()}\n{body}"
