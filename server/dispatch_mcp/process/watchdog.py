"""Runs one program for `supervisor` and outlives neither it nor the server.

Not imported: started by path as `python -I -S watchdog.py FOLDER GRACE DEADLINE CAP LC_CTYPE PROGRAM [ARGUMENT...]`,
so it uses nothing but the standard library. Descriptor 0 is the death pipe: `i` interrupts the program, `t` stops it
politely, `k` at once, and its end means that the server is gone. Descriptor 1 is held open until nothing of the
program lives.

FOLDER may hold `stdin`, what the program reads. Files it leaves there: `pid` (before the program begins), `stdout` and
`stderr` (capped), `exit` (at the end).
"""

from __future__ import annotations

import ctypes
import errno
import os
import select
import signal
import sys
import time

GONE_GRACE_S = 0.3
"""Between TERM and KILL when nobody waits any more; promise R10 leaves one second in all."""

SWEEP_S = 2.0
"""How long descendants are killed that keep making new ones; a fork bomb must not hold up the end for ever."""

FULL = frozenset({errno.ENOSPC, errno.EDQUOT})
ROOM_S, PAUSE_S = 10.0, 0.05
"""How long a full disk is waited for with what a program has said last and how it ended, and between two tries: the
server makes room there within a moment."""

SMALL = 512
"""Bytes that the end of a program takes at most, which are kept on the disk from its start."""

CHUNK = 1 << 16
STOPPING = frozenset({signal.SIGTERM, signal.SIGINT, signal.SIGHUP})
PR_SET_PDEATHSIG = 1
PR_SET_CHILD_SUBREAPER = 36
LINUX = sys.platform == "linux"


def prctl(option: int, value: int) -> None:
    """Sets one process attribute on Linux; elsewhere does nothing."""
    if LINUX:
        ctypes.CDLL(None).prctl(option, value, 0, 0, 0)


def start_time(pid: int) -> str:
    """Returns what tells a process from a later one of the same number; empty where the system does not say."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as stat:  # noqa: PTH123 - pathlib costs 10 ms of start-up
            return stat.read().rpartition(b")")[2].split()[19].decode()
    except (OSError, IndexError):
        return ""


def descendants() -> list[int]:
    """Returns the processes below this one, where /proc shows them."""
    parents: dict[int, list[int]] = {}
    for name in os.listdir("/proc") if LINUX else ():  # noqa: PTH208 - as above
        try:
            with open(f"/proc/{int(name)}/stat", "rb") as stat:  # noqa: PTH123 - as above
                parents.setdefault(int(stat.read().rpartition(b")")[2].split()[1]), []).append(int(name))
        except (OSError, ValueError, IndexError):
            continue
    family = [os.getpid()]
    for pid in family:
        family += parents.get(pid, ())
    return family[1:]


def write_file(path: str, text: str, patience_s: float = 0.0) -> None:
    """Writes a small file that a reader sees whole or not at all; on a full disk tried again for some seconds."""
    part, until = path + ".part", time.monotonic() + patience_s
    while True:
        descriptor = -1
        try:
            # Not emptied before: on a full disk the place of what stands there is all that can be had.
            descriptor = os.open(part, os.O_WRONLY | os.O_CREAT, 0o600)
            os.ftruncate(descriptor, os.write(descriptor, text.encode()))
            os.rename(part, path)  # noqa: PTH104 - as above
        except OSError as error:
            if error.errno not in FULL or time.monotonic() >= until:
                raise
            select.select([], [], [], PAUSE_S)
        else:
            return
        finally:
            if descriptor >= 0:
                os.close(descriptor)


def keep_place(path: str) -> None:
    """Takes the place on the disk of a small file that is written later, if there is some."""
    try:
        descriptor = os.open(path + ".part", os.O_WRONLY | os.O_CREAT, 0o600)
        os.write(descriptor, bytes(SMALL))
        os.close(descriptor)
    except OSError:
        return  # there may be some by then


def ignored(_number: int, _frame: object) -> None:
    """Handles a signal by doing nothing; its number arrives through the wake-up pipe."""


class Tap:
    """Copies one stream of the program to a file: the first half of `cap` bytes as they come, the last at the end."""

    def __init__(self, source: int, path: str, cap: int) -> None:
        self.source = source
        self.target = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        self.head = cap // 2
        self.keep = cap - self.head
        self.tail = bytearray()
        self.lost = 0
        os.set_blocking(source, False)

    def pump(self) -> bool:
        """Copies one chunk. Returns False when there is none now, or never again."""
        try:
            data = os.read(self.source, CHUNK)
        except BlockingIOError:
            return False
        beginning = data[: self.head]
        if beginning:
            self.head -= len(beginning)
            rest = self._write(beginning)
            if rest:  # a full disk must not keep the program from being watched: its end may find room
                self.head = 0
                self.tail += rest
        self.tail += data[len(beginning) :]
        if len(self.tail) > self.keep + 8 * CHUNK:
            self._trim()
        return bool(data)

    def close(self) -> None:
        """Writes what is kept of the end, after a line that counts what is left out."""
        while self.pump():
            pass
        self._trim()
        if self.lost:
            self._write(b"\n[... %d bytes left out ...]\n" % self.lost, ROOM_S)
        self.lost += len(self._write(bytes(self.tail), ROOM_S))
        os.close(self.target)

    def _trim(self) -> None:
        surplus = max(0, len(self.tail) - self.keep)
        del self.tail[:surplus]
        self.lost += surplus

    def _write(self, data: bytes, patience_s: float = 0.0) -> bytes:
        """Writes as much as the disk takes, tried again for some seconds, and returns the rest."""
        until = time.monotonic() + patience_s
        while data:
            try:
                data = data[os.write(self.target, data) :]
            except OSError as error:
                if error.errno not in FULL or time.monotonic() >= until:
                    break
                select.select([], [], [], PAUSE_S)
        return data


class Watchdog:
    """One program from its start to the death of the last process that it left behind."""

    def __init__(self, folder: str, grace_s: float, deadline_s: float, cap: int) -> None:
        self.folder = folder
        self.grace_s = grace_s
        self.began = time.monotonic()
        self.deadline = self.began + deadline_s if deadline_s > 0 else None
        self.kill_at: float | None = None
        self.cause = ""
        self.failure = 0
        self.status: int | None = None
        self.cap = cap

    def run(self, program: list[str]) -> None:
        """Starts the program and returns when nothing of it lives and its end is written down."""
        keep_place(f"{self.folder}/exit")
        # Before the fork: signals must find their handlers, and orphans their new parent, from the first moment on.
        wake, _ = self._listen()
        pipes = [os.pipe() for _ in range(3)]
        prctl(PR_SET_CHILD_SUBREAPER, 1)
        self.pid = os.fork()
        if self.pid == 0:
            become(program, self.folder, [write for _, write in pipes])
        # While this process held the writing ends, the streams of a dead program would never end.
        for _, write in pipes:
            os.close(write)
        (out, _), (err, _), (failure, _) = pipes
        self.taps = {out: Tap(out, f"{self.folder}/stdout", self.cap), err: Tap(err, f"{self.folder}/stderr", self.cap)}
        self._watch(wake)
        self._sweep()
        for tap in self.taps.values():
            tap.close()
        self.failure = int(os.read(failure, 16) or b"0")
        self._record()

    def _listen(self) -> tuple[int, int]:
        """Returns a pipe that gets a byte for every signal: so `poll` waits for signals and descriptors at once."""
        ends = os.pipe()
        for end in ends:
            os.set_blocking(end, False)
        signal.set_wakeup_fd(ends[1], warn_on_full_buffer=False)
        for number in (signal.SIGCHLD, *STOPPING):
            signal.signal(number, ignored)
        return ends

    def _watch(self, wake: int) -> None:
        poller = select.poll()
        for descriptor in (0, wake, *self.taps):
            poller.register(descriptor, select.POLLIN)
        while self.status is None:
            for descriptor, _ in poller.poll(self._patience()):
                if descriptor in self.taps:
                    if not self.taps[descriptor].pump():
                        poller.unregister(descriptor)
                elif descriptor == wake:
                    self._on_signals(os.read(wake, 512))
                elif not self._on_order(os.read(0, 16)):
                    poller.unregister(0)
            self._on_time()
            self._reap()

    def _patience(self) -> int | None:
        until = [moment for moment in (self.deadline, self.kill_at) if moment is not None]
        return max(0, int((min(until) - time.monotonic()) * 1000) + 1) if until else None

    def _on_signals(self, numbers: bytes) -> None:
        if not STOPPING.isdisjoint(numbers):
            self._stop("signal", GONE_GRACE_S)

    def _on_order(self, order: bytes) -> bool:
        if not order:
            self._stop("gone", GONE_GRACE_S)
        elif b"k" in order:
            self._stop("kill", 0.0)
        elif b"t" in order:
            self._stop("stop", self.grace_s)
        else:
            self._signal(signal.SIGINT)
        return bool(order)

    def _on_time(self) -> None:
        now = time.monotonic()
        if self.deadline is not None and now >= self.deadline:
            self.deadline = None
            self._stop("deadline", self.grace_s)
        # Again and again: a group can grow between two signals.
        if self.kill_at is not None and now >= self.kill_at:
            self.kill_at = now + 0.05
            self._signal(signal.SIGKILL)

    def _stop(self, cause: str, grace_s: float) -> None:
        # The first cause is the one that is told; a later one can only bring the end forward, never put it off.
        moment = time.monotonic() + grace_s
        if self.kill_at is None:
            self.cause, self.kill_at = cause, moment
            self._signal(signal.SIGTERM)
            self._signal(signal.SIGCONT)  # a stopped program gets SIGTERM only when it goes on
        self.kill_at = min(self.kill_at, moment)

    def _signal(self, number: int) -> bool:
        try:
            os.killpg(self.pid, number)
        except ProcessLookupError:
            return False
        except PermissionError:  # macOS says so of a group of zombies; elsewhere a set-uid program
            return LINUX
        return True

    def _reap(self) -> bool:
        """Notes the end of the program and of adopted orphans. Returns False when no child is left."""
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return False
            if pid == 0:
                return True
            if pid == self.pid:
                self.status = status

    def _sweep(self) -> None:
        """Kills what the program has left: its group, and on Linux what has left the group and was adopted here."""
        until = time.monotonic() + SWEEP_S
        group, children = True, True
        while (group or children) and time.monotonic() < until:
            group = group and self._signal(signal.SIGKILL)
            children = self._reap()
            for pid in descendants() if children else ():
                try:
                    os.kill(pid, signal.SIGKILL)
                except OSError:
                    continue
            if group or children:
                select.select([], [], [], 0.002)

    def _record(self) -> None:
        code = os.waitstatus_to_exitcode(self.status or 0)
        out, err = self.taps.values()
        write_file(
            f"{self.folder}/exit",
            f'{{"exit_code": {code if code >= 0 else "null"}, "signal": {-code if code < 0 else "null"}, '
            f'"cause": "{self.cause}", "errno": {self.failure}, '
            f'"truncated": {"true" if out.lost or err.lost else "false"}, '
            f'"seconds": {time.monotonic() - self.began:.6f}}}\n',
            ROOM_S,
        )


def standard_input(folder: str) -> int:
    """Returns a descriptor of what the program reads: a file if there is one, else nothing."""
    try:
        return os.open(f"{folder}/stdin", os.O_RDONLY)
    except FileNotFoundError:
        return os.open(os.devnull, os.O_RDONLY)


def become(program: list[str], folder: str, pipes: list[int]) -> None:
    """Turns this fork into the program; writes the error number to the last pipe when that fails."""
    try:
        # The kernel kills this process when the watchdog dies, but only from `prctl` on: one that died before has
        # already changed the parent.
        parent = os.getppid()
        os.setsid()
        prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:
            os._exit(127)
        # Before the program begins: whoever finds this folder later can kill whatever runs.
        pid = os.getpid()
        write_file(f"{folder}/pid", f'{{"pid": {pid}, "started": "{start_time(pid)}"}}\n')
        os.dup2(standard_input(folder), 0)
        os.dup2(pipes[0], 1)
        os.dup2(pipes[1], 2)
        for number in (signal.SIGPIPE, getattr(signal, "SIGXFSZ", signal.SIGPIPE)):
            signal.signal(number, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_SETMASK, [])
        os.execv(program[0], program)  # noqa: S606 - no shell is what we want
    except OSError as error:
        os.write(pipes[2], b"%d" % (error.errno or 1))
    finally:
        os._exit(127)


def main(folder: str, grace_s: str, deadline_s: str, cap: str, lc_ctype: str, *program: str) -> None:
    """Undoes what Python's locale coercion added to the environment (PEP 538), then watches the program."""
    if lc_ctype == "unset":
        os.environ.pop("LC_CTYPE", None)
    Watchdog(folder, float(grace_s), float(deadline_s), int(cap)).run(list(program))


if __name__ == "__main__":
    main(*sys.argv[1:])
