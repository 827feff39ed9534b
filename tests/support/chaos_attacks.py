"""Programs of the chaos tests as a test runs them: in a process of their own, for the report that they print."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any


def attack(script: Path, *arguments: str, timeout_s: float) -> dict[str, Any]:
    """Runs the program and returns its report; a bad one fails with all of it."""
    argv = [sys.executable, str(script), "--json", *arguments]
    done = subprocess.run(argv, capture_output=True, text=True, check=False, timeout=timeout_s)
    assert done.returncode == 0, done.stdout + done.stderr
    return json.loads(done.stdout)
