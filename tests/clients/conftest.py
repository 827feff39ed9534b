"""Tests with real clients; they run only when `make test-clients` says where Claude Code is."""

from __future__ import annotations

import os
import subprocess
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


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """Returns the home folder of whoever starts a client."""
    folder = tmp_path / "home"
    folder.mkdir()
    return folder


@pytest.fixture
def folders(home: Path, tmp_path: Path) -> dict[str, Path]:
    """Returns the folders in which people start their clients."""
    empty, large = tmp_path / "empty", tmp_path / "large"
    empty.mkdir()
    for number in range(2_000):
        module = large / f"package{number // 100}" / f"module{number}.py"
        module.parent.mkdir(parents=True, exist_ok=True)
        module.write_text(f"def f{number}(x):\n    return x + {number}\n")
    subprocess.run(["git", "init", "-q"], cwd=large, check=True)
    return {"an empty folder": empty, "the home folder": home, "the root": Path("/"), "a large repository": large}
