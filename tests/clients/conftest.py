"""Tests with real clients; they run only when `make test-clients` says where Claude Code is."""

from __future__ import annotations

import os
import sys
from pathlib import Path

PROGRAM = os.environ.get("DISPATCH_MCP_CLIENTS", "")
collect_ignore_glob = [] if PROGRAM else ["test_*.py"]

for folder in ("workers", "engine", "faces"):
    sys.path.insert(0, str(Path(__file__).parents[1] / folder))
