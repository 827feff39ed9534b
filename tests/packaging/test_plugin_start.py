from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from dispatch_mcp import __version__

REPOSITORY = Path(__file__).resolve().parents[2]
STARTER = "plugin/start.sh"
pytestmark = pytest.mark.skipif(os.name != "posix", reason="the plugin starts with sh")


@pytest.fixture
def plugin(tmp_path: Path) -> Path:
    """Returns a copy of what the starter reads, as a marketplace copies it: without an environment."""
    copy = tmp_path / "a plugin"
    for name in (STARTER, "scripts/environment.sh", "pyproject.toml"):
        (copy / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(REPOSITORY / name, copy / name)
    return copy


def program(path: Path, says: str) -> Path:
    """Writes a program that prints a line and its arguments, but its version when asked for that."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f'#!/bin/sh\n[ "$*" = --version ] && echo "{says}" && exit\necho "{says}: $*"\n')
    path.chmod(0o755)
    return path


def variables(plugin: Path, home: Path, path: str = "", data: Path | None = None) -> dict[str, str]:
    """Returns the environment that the plugin is started in."""
    data = data or plugin.parent / "data"
    return {"HOME": str(home), "PATH": path or "/usr/bin:/bin", "CLAUDE_PLUGIN_DATA": str(data)}


def start(plugin: Path, *arguments: str, cwd: Path, path: str = "", data: Path | None = None) -> list[str]:
    """Returns the lines that the started program prints."""
    env = variables(plugin, cwd, path, data)
    command = ["sh", str(plugin / STARTER), *arguments]
    done = subprocess.run(command, cwd=cwd, env=env, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


@pytest.mark.parametrize("arguments", [(), ("hook", "stop")])
def test_a_checkout_starts_its_own_environment(arguments: tuple[str, ...], plugin: Path, tmp_path: Path) -> None:
    program(plugin / ".venv/bin/dispatch-mcp", "own")
    assert start(plugin, *arguments, cwd=tmp_path) == ["own: " + " ".join(arguments or ("serve",))]


def test_an_environment_that_was_moved_is_passed_over(plugin: Path, tmp_path: Path) -> None:
    lost = program(plugin / ".venv/bin/dispatch-mcp", "lost")
    lost.write_text(lost.read_text().replace("#!/bin/sh", "#!/no/such/python"))
    program(tmp_path / "bin/dispatch-mcp", f"dispatch-mcp {__version__}")
    assert start(plugin, cwd=tmp_path, path=f"{tmp_path / 'bin'}:/usr/bin:/bin") == [
        f"dispatch-mcp {__version__}: serve"
    ]


def installer(folder: Path) -> Path:
    """Writes a `uv` that makes the environment it is asked for, and notes that it was asked."""
    script = f"""#!/bin/sh
echo "$*" >>"{folder}/asked"
case $1 in
  venv) [ ! -p "{folder}/gate" ] || cat "{folder}/gate"
    for last; do :; done; mkdir -p "$last/bin"; ln -sf "{sys.executable}" "$last/bin/python" ;;
  pip) made=$(dirname "$5")/dispatch-mcp; printf '#!/bin/sh\\necho "made: $*"\\n' >"$made"; chmod +x "$made" ;;
esac
"""
    uv = folder / "uv"
    folder.mkdir(parents=True, exist_ok=True)
    uv.write_text(script)
    uv.chmod(0o755)
    return uv


def search_path(tmp_path: Path) -> str:
    """Returns a path that finds the installer, and a program of another version before that of these tests."""
    program(tmp_path / "bin/dispatch-mcp", "dispatch-mcp 0.0.0")
    return os.pathsep.join((str(tmp_path / "bin"), str(Path(sys.executable).parent), "/usr/bin", "/bin"))


def test_without_any_the_first_start_makes_an_environment_and_the_next_finds_it(plugin: Path, tmp_path: Path) -> None:
    installer(tmp_path / "bin")
    path = search_path(tmp_path)
    assert [start(plugin, cwd=Path("/"), path=path) for _ in range(2)] == [["made: serve"]] * 2
    asked = [line.split()[0] for line in (tmp_path / "bin/asked").read_text().splitlines()]
    assert asked.count("pip") == 1
    assert (tmp_path / "data/venv/bin/dispatch-mcp").exists()
    assert not (tmp_path / "data/venv.lock").exists()
    assert not (plugin / ".venv").exists()


@pytest.mark.parametrize("by", [signal.SIGTERM, signal.SIGKILL])
def test_a_start_that_its_client_gave_up_makes_the_environment_for_the_next(
    by: signal.Signals, plugin: Path, tmp_path: Path
) -> None:
    installer(tmp_path / "bin")
    gate = tmp_path / "bin/gate"
    os.mkfifo(gate)
    path = search_path(tmp_path)
    with (
        subprocess.Popen(["sh", str(plugin / STARTER)], env=variables(plugin, tmp_path, path)) as first,
        gate.open("w", encoding="utf-8"),  # opens once the environment is being made
    ):
        first.send_signal(by)
        assert first.wait(120) == -by
    gate.unlink()
    assert start(plugin, cwd=tmp_path, path=path) == ["made: serve"]
    asked = [line.split()[0] for line in (tmp_path / "bin/asked").read_text().splitlines()]
    assert asked.count("pip") == 1
    assert not (tmp_path / "data/venv.lock").exists()


def test_a_lock_of_a_start_that_was_ended_with_all_that_it_had_begun_is_passed_over(
    plugin: Path, tmp_path: Path
) -> None:
    installer(tmp_path / "bin")
    lock = tmp_path / "data/venv.lock"
    lock.mkdir(parents=True)
    with subprocess.Popen(["true"]) as gone:
        (lock / "maker").write_text(f"{gone.pid}\n")
    assert start(plugin, cwd=tmp_path, path=search_path(tmp_path)) == ["made: serve"]
    assert not lock.exists()
