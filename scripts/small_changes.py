"""Small wrong changes of the store, the engine and the run, each of which a test has to notice.

python scripts/small_changes.py [NUMBER…]; exit code 1 when one of them is not noticed. Each change is made in a copy of
the server, and the tests that stand beside it run against that copy.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[1]


class Change(NamedTuple):
    """What stands in a file of the package, what is put in its place, and the tests that should notice."""

    file: str
    before: str
    after: str
    tests: str


CHANGES = (
    Change("store/sqlite.py", '"synchronous = FULL"', '"synchronous = OFF"', "store/test_durability.py"),
    Change("store/sqlite.py", '"synchronous = FULL"', '"synchronous = NORMAL"', "store/test_durability.py"),
    Change(
        "store/run_transactions.py",
        "if row.epoch != owner.epoch or not is_owner:",
        "if not is_owner:",
        "store/test_ownership.py store/test_failed_drives.py",
    ),
    Change(
        "store/run_transactions.py",
        "if row.epoch != owner.epoch or not is_owner:",
        "if row.epoch != owner.epoch:",
        "store/test_ownership.py store/test_failed_drives.py",
    ),
    Change("store/sqlite.py", "    if current > newest:", "    if current > newest + 1:", "store/test_durability.py"),
    Change("runs/state_machine.py", "row.crashes += crashed", "row.crashes += 0", "runs/test_state_machine.py"),
    Change("runs/task_table.py", ".crashes += 1", ".crashes += 0", "runs/test_crash_counts.py"),
    Change("runs/task_table.py", ".host_losses += 1", ".crashes += 1", "runs/test_crash_counts.py"),
    Change(
        "engine/executor.py",
        "        if self.answer_lost:\n            read",
        "        if False:\n            read",
        "engine/test_own_faults.py engine/test_executor.py",
    ),
    Change(
        "engine/executor.py",
        "                scope.cancel()",
        "                pass",
        "engine/test_revoked_attempts.py",
    ),
    Change(
        "store/owner_locks.py",
        "        if not file_lock.lock(fd, wait=False):\n            return False",
        "        file_lock.lock(fd, wait=False)",
        "store/test_owner_locks.py",
    ),
    Change(
        "store/owner_locks.py",
        "        path.unlink()\n        return True",
        "        return True",
        "store/test_owner_locks.py",
    ),
    Change("store/blobs.py", "            os.fsync(file.fileno())", "            pass", "store/test_durability.py"),
    Change("store/blobs.py", "            os.fsync(fd)", "            pass", "store/test_durability.py"),
    Change(
        "runs/state_machine.py",
        "        if row.state is not TaskState.RUNNING or row.attempt != report.attempt:",
        "        if row.state is not TaskState.RUNNING:",
        "runs/test_state_machine.py",
    ),
    Change(
        "runs/state_machine.py",
        "        if row.state is not TaskState.RUNNING or row.attempt != report.attempt:",
        "        if row.attempt != report.attempt:",
        "runs/test_state_machine.py",
    ),
    Change(
        "review/council_decision.py",
        "return short and finding.line <= other.last",
        "return short and finding.line < other.last",
        "review/test_council_decision.py",
    ),
    Change(
        "review/council_decision.py",
        "other.last - other.line) < MERGED_LINES",
        "other.last - other.line) <= MERGED_LINES",
        "review/test_council_decision.py",
    ),
    Change(
        "runs/state_machine.py",
        "outcome.state, outcome)\n        self._tasks.note_finished(row, outcome)\n        row.false_starts",
        "outcome.state, outcome)\n        row.false_starts",
        "runs/test_state_machine.py",
    ),
    Change(
        "runs/state_machine.py",
        "            row.cause = outcome.error_kind\n            self._tasks.ready(position)",
        "            self._tasks.ready(position)",
        "runs/test_budget.py",
    ),
    Change(
        "runs/ledger.py",
        "        if attempt.worker not in transitions.MODEL_WORKERS:\n            return\n        self.attempts -=",
        "        self.attempts -=",
        "runs/test_ledger.py",
    ),
    Change(
        "runs/ledger.py",
        "self.limits.minutes - max(0.0, now - self.started_at)",
        "self.limits.minutes - max(0.0, now + self.started_at)",
        "runs/test_ledger.py",
    ),
    Change(
        "store/run_transactions.py",
        '            conn.execute("UPDATE run SET updated_at = ? WHERE no = ?", (now, row.no))',
        "            pass",
        "store/test_ownership.py",
    ),
    Change(
        "store/run_transactions.py",
        'if note.kind == "task_replayed"] if sources else []',
        'if note.kind == "task_replayed"] if not sources else []',
        "store/test_sqlite_store.py",
    ),
    Change(
        "store/run_transactions.py",
        "        if core.over and any(action.kind in _REOPENING for action in step.actions):",
        "        if False:",
        "service/test_reopened_runs.py",
    ),
    Change(
        "store/sqlite_store.py",
        "return await anyio.to_thread.run_sync(self._briefs.put, run_id, task_id, attempt, text)",
        "return None",
        "service/test_host_assignments.py",
    ),
)


def is_noticed(change: Change, place: Path) -> bool:
    """Returns whether a test fails once the change is made in the copy of the server at `place`."""
    path = place / "dispatch_mcp" / change.file
    text = path.read_text(encoding="utf-8")
    if text.count(change.before) != 1:
        raise SystemExit(f"{change.file} no longer holds this once: {change.before!r}")
    path.write_text(text.replace(change.before, change.after), encoding="utf-8")
    tests = [str(ROOT / "tests" / name) for name in change.tests.split()]
    command = [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", "--timeout", "60", *tests]
    try:
        done = subprocess.run(  # our own tests
            command, cwd=ROOT, env={**os.environ, "PYTHONPATH": str(place)}, capture_output=True, check=False
        )
    finally:
        path.write_text(text, encoding="utf-8")
    if done.returncode not in (0, 1):
        raise SystemExit(done.stdout.decode("utf-8", "replace")[-2_000:])
    return done.returncode == 1


def main() -> int:
    numbers = [int(word) for word in sys.argv[1:]] or range(len(CHANGES))
    missed = 0
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        shutil.copytree(ROOT / "server" / "dispatch_mcp", place / "dispatch_mcp")
        for number in numbers:
            change = CHANGES[number]
            noticed = is_noticed(change, place)
            missed += not noticed
            before, after = (" ".join(text.split())[:70] for text in (change.before, change.after))
            print(f"{number:2} {'noticed' if noticed else 'MISSED '} {change.file}: {before} -> {after}", flush=True)
    return int(missed > 0)


if __name__ == "__main__":
    sys.exit(main())
