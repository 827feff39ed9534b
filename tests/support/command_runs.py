"""The command line as a person has it: in this process, or in one of its own."""

from __future__ import annotations

import json
import os
import select
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import nursery
import pytest

from dispatch_mcp import __main__ as entry

DOCUMENTS = Path(__file__).parents[1] / "cli" / "documents"


@dataclass(frozen=True)
class Said:
    """What a command answered."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


Shell = Callable[..., Said]


def shell(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Shell:
    """Returns what runs a command in this process; one that ends the process that it is in has its own."""

    def typed(*arguments: str) -> Said:
        if list(arguments[:1]) in entry.LIGHT:
            with OwnProcess(*arguments) as process:
                out, err = process.communicate()
            return Said(process.returncode or 0, out, err)
        monkeypatch.setattr(sys, "argv", ["dispatch-mcp", *arguments])
        try:
            code = entry.main()
        except SystemExit as end:
            code = int(end.code or 0)
        printed = capsys.readouterr()
        return Said(code, str(printed.out), str(printed.err))

    return typed


class OwnProcess:
    """A command in a process of its own, with nothing on its stdin; its output is there when it ends.

    It is forked from an interpreter that has loaded the product, where such a process is the same as a fresh one.
    """

    def __init__(self, *arguments: str, cwd: Path | None = None, closed: str = "") -> None:
        """Starts the command, in our environment; `closed` names a stream that it has not, if it can be forked."""
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115  # closed with the process
        env, folder = dict(os.environ), cwd or Path.cwd()
        self._process = (
            nursery.fork(arguments, env, folder, self._errors.fileno(), [closed] if closed else [])
            if nursery.can_fork(env)
            else subprocess.Popen(
                [sys.executable, "-m", "dispatch_mcp", *arguments],
                cwd=folder,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=self._errors,
                bufsize=0,
            )
        )
        assert self._process.stdin
        self._process.stdin.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _what: BaseException | None, _at: TracebackType | None
    ) -> None:
        self._process.wait()
        assert self._process.stdout
        self._process.stdout.close()
        self._errors.close()

    @property
    def returncode(self) -> int | None:
        return self._process.returncode

    def poll(self) -> int | None:
        return self._process.poll()

    def kill(self) -> None:
        self._process.kill()

    def send_signal(self, number: int) -> None:
        self._process.send_signal(number)

    def communicate(self, timeout: float = 120.0) -> tuple[str, str]:
        """Returns what it has written to stdout and stderr, once it has ended. Raises subprocess.TimeoutExpired."""
        assert self._process.stdout
        until, out, pipe = time.monotonic() + timeout, b"", self._process.stdout.fileno()
        while select.select([pipe], [], [], max(0.0, until - time.monotonic()))[0]:
            part = os.read(pipe, 65_536)
            if not part:
                break
            out += part
        self._process.wait(max(0.0, until - time.monotonic()))
        self._errors.seek(0)
        err = self._errors.read()
        with self:
            return out.decode(), err.decode()


def written(folder: Path, tasks: list[dict[str, Any]], **config: Any) -> str:
    """Writes a task document and returns its path."""
    path = folder / "tasks.json"
    path.write_text(json.dumps({"tasks": tasks, "config": config}), encoding="utf-8")
    return str(path)
