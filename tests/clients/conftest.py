"""Tests with real clients; they run only when `make test-clients` says where Claude Code is."""

from __future__ import annotations

import os

PROGRAM = os.environ.get("DISPATCH_MCP_CLIENTS", "")
collect_ignore_glob = [] if PROGRAM else ["test_*.py"]
