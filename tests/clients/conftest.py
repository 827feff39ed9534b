"""Tests with real clients; they run only when `make test-clients` says where Claude Code is."""

from __future__ import annotations

import os
from pathlib import Path

import fake_provider
import hooked_sessions
import pytest

PROGRAM = os.environ.get("DISPATCH_MCP_CLIENTS", "")
collect_ignore_glob = [] if PROGRAM else ["test_*.py"]


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    """Returns the folder that sessions run in."""
    folder = tmp_path / "workspace"
    folder.mkdir()
    (folder / "README.md").write_text("# Shop\n")
    return folder


@pytest.fixture
def env(provider: fake_provider.Provider, tmp_path: Path) -> dict[str, str]:
    """Returns the environment of sessions with our hooks."""
    return hooked_sessions.variables(provider, tmp_path)
