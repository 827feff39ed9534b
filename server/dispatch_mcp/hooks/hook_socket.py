"""How a hook asks the server of its session: one line of JSON over a socket in the state directory, one line back.

The server has everything loaded; a hook that loaded it again would keep its session waiting for half a second.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import socket
from typing import Any, Final

from dispatch_mcp.text import json_types

SESSION: Final = "CLAUDE_CODE_SESSION_ID"
"""The variable by which Claude Code tells its servers and its hooks which session they are of."""

MOST_PATH: Final = 100
"""Bytes that the path of a socket may have on every system."""

MOST_ANSWER: Final = 16 << 20


def names_of(pid: int, *sessions: str) -> list[str]:
    """Returns the names under which a session's server may listen: its ids, and the process of the host.

    Whoever clears a conversation has another id from then on, but the server that was started before has the old one.
    """
    names = [*sessions, f"process {pid}" if pid > 0 else ""]
    return list(dict.fromkeys(name for name in names if name))


def path_of(folder: str, name: str) -> str:
    """Returns where a server listens under a name; empty where there are no such sockets, or the path is too long."""
    digits = hashlib.sha256(name.encode("utf-8", "replace")).hexdigest()[:12]
    path = os.path.join(folder, f"{digits}.sock")
    is_possible = name and hasattr(socket, "AF_UNIX") and len(os.fsencode(path)) <= MOST_PATH
    return path if is_possible else ""


def ask(path: str, question: dict[str, Any], patience_s: float) -> dict[str, Any]:
    """Returns what the server answers, nothing for an answer that is no object.

    Raises:
        OSError: nobody listens there.
        ValueError: the answer is no JSON.
    """
    with contextlib.closing(socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)) as connection:
        connection.settimeout(patience_s)
        connection.connect(path)
        connection.sendall(json.dumps(question).encode("ascii") + b"\n")
        with connection.makefile("rb") as stream:
            answer: json_types.Json = json.loads(stream.readline(MOST_ANSWER))
    return dict(answer) if json_types.is_object(answer) else {}
