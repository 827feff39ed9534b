"""Runs one program as a child that cannot outlive the server.

Every child has a watchdog (`watchdog.py`): a small process in a session of its own that starts the program in a second
session, copies its output to capped files and holds a death pipe. When the server goes, even by `kill -9`, the pipe
ends and the watchdog kills the program's group: TERM, then KILL. On Linux it also adopts and kills processes that
left the group. What a program leaves running when it ends is killed too: an attempt ends when its program ends.

A successor of a dead server never adopts such a child. For programs death is the better choice: the result was not
accepted, so running the attempt again is what exactly-once acceptance asks for, and nothing has to be guessed about
output that nobody read.

POSIX only. Windows lacks sessions, process groups and `fork`; there it would take a job object with
kill-on-close, which is not built, so `run_child` refuses. macOS lacks child subreapers: a daemon that starts a
session of its own escapes there.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import anyio

from dispatch_mcp import errors
from dispatch_mcp.process import private_files

GRACE_S = 1.0
"""Seconds between SIGTERM and SIGKILL."""

OUTPUT_CAP = 1 << 20
"""Bytes kept of each stream."""

WATCHDOG = Path(__file__).with_name("watchdog.py")

_GUARD_S = 2.0
"""How much later than the server the watchdog acts on the deadline by itself."""

_MAY_PASS = frozenset(
    {errno.EAGAIN, errno.ENOMEM, errno.EMFILE, errno.ENFILE, errno.ENOSPC, errno.ETXTBSY, errno.EINTR}
)
"""What keeps a program from being started this time: no memory, no room, no free process, a file being written."""


class Unstartable(errors.WorkerError):
    """The program cannot be started here, however often it is tried."""


@dataclass(frozen=True, slots=True)
class ChildResult:
    """How a program ended: exit code or signal number, and its output, capped and cut in the middle if `truncated`."""

    exit_code: int | None
    signal: int | None
    timed_out: bool
    stdout: bytes
    stderr: bytes
    truncated: bool
    seconds: float


async def run_child(
    argv: Sequence[str],
    *,
    cwd: Path,
    env: Mapping[str, str],
    folder: Path,
    timeout_s: float | None,
    grace_s: float = GRACE_S,
    output_cap: int = OUTPUT_CAP,
    stdin: bytes = b"",
    interrupt_s: float = 0.0,
) -> ChildResult:
    """Runs `argv` and returns when it and everything it started are dead.

    That is at the latest `interrupt_s` + `grace_s` after `timeout_s`: it gets SIGINT and `interrupt_s` to end by
    itself (neither if that is 0), SIGTERM and `grace_s`, then SIGKILL. `argv[0]` is an absolute path; `env` is the
    child's whole environment; `stdin` is all that it can read. `folder` is created with mode 0700 and receives
    `stdin`, `pid`, `stdout`, `stderr` and `exit`. `output_cap` bytes are kept per stream, half from its start and half
    from its end. When cancelled, by anyio or natively, it stops the child first.

    Raises:
        Unstartable: the program cannot be started, however often it is tried.
        WorkerError: it could not be started this time, or its watchdog was killed.
    """
    # No await lies between the start and the `try`, so no cancellation can fall between them and leave a child behind.
    _prepare(folder, stdin)
    child = _Child.start(argv, cwd, env, folder, limits=(grace_s, timeout_s, output_cap), interrupt_s=interrupt_s)
    try:
        with anyio.move_on_after(timeout_s) as deadline:
            await child.ended()
    finally:
        await child.stop(grace_s)
    return child.result(timed_out=deadline.cancelled_caught)


def kill_left_over(folder: Path) -> bool:
    """Kills the group whose pid an attempt left in `folder`. Returns whether it was still there.

    A process of the same number that started at another time is left alone.
    """
    # After a crash the number may belong to a stranger. The pair of number and start time does not come twice; where
    # the system does not tell start times (macOS), nothing is killed.
    try:
        note = json.loads((folder / "pid").read_bytes())
        pid, start = int(note["pid"]), str(note["started"])
    except (OSError, ValueError, KeyError, TypeError):
        return False
    return bool(start) and _start_time(pid) == start and _kill_group(pid)


async def result_left_over(folder: Path, *, wait_s: float = 3.0) -> ChildResult | None:
    """Returns how a child ended whose server was killed, once nothing of it lives; None if there was none.

    Its watchdog gets `wait_s` to see to that; then what is left is killed. Without the watchdog's word the child counts
    as killed.
    """
    if not (folder / "pid").exists():
        return None
    # The watchdog's word comes last of all, after the sweep: once it is there, nothing of the child writes any more.
    with anyio.move_on_after(wait_s):
        while not (folder / "exit").exists():  # noqa: ASYNC110 - it is another process that writes it
            await anyio.sleep(0.05)
    if not (folder / "exit").exists():
        kill_left_over(folder)
    try:
        return _result(folder, timed_out=False)
    except (OSError, ValueError, KeyError, TypeError):
        return ChildResult(None, signal.SIGKILL, False, _output(folder, "stdout"), _output(folder, "stderr"), True, 0.0)


def _output(folder: Path, name: str) -> bytes:
    try:
        return (folder / name).read_bytes()
    except OSError:
        return b""


def _result(folder: Path, *, timed_out: bool) -> ChildResult:
    end = json.loads((folder / "exit").read_bytes())
    return ChildResult(
        exit_code=end["exit_code"],
        signal=end["signal"],
        timed_out=timed_out or end["cause"] == "deadline",
        stdout=(folder / "stdout").read_bytes(),
        stderr=(folder / "stderr").read_bytes(),
        truncated=end["truncated"],
        seconds=end["seconds"],
    )


def _start_time(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()[19].decode()
    except (OSError, IndexError):
        return ""


def _kill_group(pid: int) -> bool:
    try:
        os.killpg(pid, signal.SIGKILL)
    except OSError:
        return False
    return True


@dataclass(slots=True)
class _Child:
    """A running watchdog and the two pipes to it.

    Of `orders` the server holds the only writing end, so its end is how the watchdog learns of the server's death,
    whatever that was. Of `status` the watchdog holds the only writing end, so its end is how the server learns that
    nothing lives any more; nothing is ever written to it. Neither pipe can be forgotten: the kernel closes both.
    """

    program: str
    folder: Path
    process: subprocess.Popen[bytes]
    orders: int
    status: int
    interrupt_s: float
    over: bool = False

    @classmethod
    def start(
        cls,
        argv: Sequence[str],
        cwd: Path,
        env: Mapping[str, str],
        folder: Path,
        *,
        limits: tuple[float, float | None, int],
        interrupt_s: float,
    ) -> _Child:
        if os.name != "posix":
            raise Unstartable(
                "Programs cannot be supervised on this system.", hint="Run dispatch-mcp on Linux, macOS or WSL."
            )
        # Python's pipes are not inherited, so a child that another thread starts meanwhile holds no end of these two.
        orders, status = os.pipe(), os.pipe()
        try:
            watchdog = _watchdog_argv(folder, env, limits, interrupt_s)
            process = _spawn([*watchdog, *argv], cwd, env, orders[0], status[1])
        except (OSError, ValueError) as error:
            os.close(orders[1])
            os.close(status[0])
            raise _not_started(argv[0], error) from error
        finally:
            # As long as the server held these ends itself, it would never see the other side go.
            os.close(orders[0])
            os.close(status[1])
        return cls(argv[0], folder, process, orders[1], status[0], interrupt_s)

    async def ended(self) -> None:
        """Returns when nothing of the child lives; its watchdog says nothing and then lets go of the pipe."""
        while not self.over:
            await anyio.wait_readable(self.status)
            self.over = not os.read(self.status, 64)

    async def stop(self, grace_s: float) -> None:
        """Stops what still lives, more firmly from step to step; returns when it is dead."""
        # Shielded: whoever cancels waits until the child is dead, else it would still write while the next attempt
        # works in the same folder. A second, native cancellation goes through the shield and ends in `_close`.
        try:
            if not self.over and self.interrupt_s:
                self._order(b"i")
                with anyio.move_on_after(self.interrupt_s, shield=True):
                    await self.ended()
            if not self.over:
                self._order(b"t")
                with anyio.move_on_after(grace_s + _GUARD_S, shield=True):
                    await self.ended()
        finally:
            self._close()

    def result(self, *, timed_out: bool) -> ChildResult:
        try:
            end = json.loads((self.folder / "exit").read_bytes())
        except (OSError, ValueError):
            raise errors.WorkerError(
                f"The supervisor of {self.program!r} was killed before it could report.",
                hint="The machine may be short of memory; the attempt can be repeated.",
            ) from None
        if end["errno"]:
            raise _not_started(self.program, OSError(end["errno"], os.strerror(end["errno"])))
        return _result(self.folder, timed_out=timed_out)

    def _order(self, order: bytes) -> None:
        with contextlib.suppress(BrokenPipeError):
            os.write(self.orders, order)

    def _close(self) -> None:
        """Ends what still lives, waiting for it without the event loop: a second cancellation must not hurry it."""
        self._order(b"k")
        os.close(self.orders)
        os.close(self.status)
        self._wait(_GUARD_S)
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        # A watchdog that was killed itself (out of memory) has written no end, and its program may still run.
        if not (self.folder / "exit").exists():
            kill_left_over(self.folder)

    def _wait(self, seconds: float) -> None:
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(seconds)


def _not_started(program: str, error: OSError | ValueError) -> errors.WorkerError:
    """Returns what to raise for a program that could not be started."""
    why = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    kind = errors.WorkerError if isinstance(error, OSError) and error.errno in _MAY_PASS else Unstartable
    return kind(f"{program!r} could not be started: {why}.")


def _prepare(folder: Path, stdin: bytes) -> None:
    try:
        private_files.make_folder(folder)
        for name in ("pid", "exit", "stdin", "stdout", "stderr"):
            (folder / name).unlink(missing_ok=True)
        if stdin:
            (folder / "stdin").touch(mode=0o600)
            (folder / "stdin").write_bytes(stdin)
    except OSError as error:
        raise errors.WorkerError(
            f"The folder {str(folder)!r} cannot be written: {error.strerror}.", hint="Check the disk; try again."
        ) from error


def _watchdog_argv(
    folder: Path, env: Mapping[str, str], limits: tuple[float, float | None, int], interrupt_s: float
) -> list[str]:
    grace_s, timeout_s, output_cap = limits
    deadline_s = 0.0 if timeout_s is None else timeout_s + interrupt_s + grace_s + _GUARD_S
    lc_ctype = "set" if "LC_CTYPE" in env else "unset"
    options = (str(folder.absolute()), repr(grace_s), repr(deadline_s), str(output_cap), lc_ctype)
    # -I and -S: neither the workspace nor the user's packages can put code into the watchdog, and it starts faster.
    return [sys.executable, "-I", "-S", str(WATCHDOG), *options]


def _spawn(argv: list[str], cwd: Path, env: Mapping[str, str], orders: int, status: int) -> subprocess.Popen[bytes]:
    with Path(os.devnull).open("wb") as nowhere:
        return subprocess.Popen(  # noqa: S603 - an argv list; the caller has checked it
            argv, cwd=cwd, env=env, stdin=orders, stdout=status, stderr=nowhere, start_new_session=True
        )
