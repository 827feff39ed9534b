from __future__ import annotations

import json
import os
import stat
import sys
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

import pytest

from dispatch_mcp import errors
from dispatch_mcp.registration import clients, registrations

LAUNCH = clients.Launch("/opt/it/bin/dispatch-mcp", ("serve",))
EVERYWHERE = [(client, scope) for client in clients.CLIENTS.values() for scope in client.places]


@pytest.fixture
def around(tmp_path: Path) -> clients.Machine:
    for name in ("home", "project"):
        (tmp_path / name).mkdir()
    return clients.Machine(tmp_path / "home", {}, "linux", tmp_path / "project")


def put(client: clients.Client, scope: clients.Scope, around: clients.Machine) -> registrations.FileEdit:
    return registrations.addition(client.place(scope, around), client.entry(LAUNCH))


@pytest.mark.parametrize(("client", "scope"), EVERYWHERE, ids=lambda value: getattr(value, "name", value))
def test_an_entry_goes_in_stays_the_same_and_comes_out(
    client: clients.Client, scope: clients.Scope, around: clients.Machine, tmp_path: Path
) -> None:
    place = client.place(scope, around)
    registrations.carry_out(put(client, scope, around), tmp_path / "state/backups")
    entry = registrations.present(place)
    assert entry is not None
    assert clients.launch_of(entry) == LAUNCH
    assert put(client, scope, around).is_empty
    registrations.carry_out(registrations.removal(place), tmp_path / "state/backups")
    assert registrations.present(place) is None
    assert registrations.removal(place).is_empty


def test_the_last_server_leaves_a_file_that_its_client_can_read(around: clients.Machine, tmp_path: Path) -> None:
    client = clients.CLIENTS["claude-code"]
    place = client.place("project", around)
    registrations.carry_out(put(client, "project", around), tmp_path / "state/backups")
    registrations.carry_out(registrations.removal(place), tmp_path / "state/backups")
    assert json.loads(place.file.read_text(encoding="utf-8")) == {"mcpServers": {}}


def written(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


def test_a_change_is_shown_before_anything_is_written(around: clients.Machine) -> None:
    file = written(around.home / ".cursor/mcp.json", '{\n  "mcpServers": {}\n}\n')
    lines = list(put(clients.CLIENTS["cursor"], "user", around).lines())
    assert '+      "command": "/opt/it/bin/dispatch-mcp",' in lines
    assert file.read_text(encoding="utf-8") == '{\n  "mcpServers": {}\n}\n'


def test_fields_that_somebody_added_to_an_earlier_entry_stay(around: clients.Machine) -> None:
    old = {
        "command": "uvx",
        "args": ["dispatch-mcp"],
        "timeout": 9,
        "env": {"MINE": "1", "DISPATCH_MCP_WORKSPACE": "/x"},
    }
    written(around.home / ".gemini/settings.json", json.dumps({"mcpServers": {"dispatch": old}}))
    launch = clients.Launch("/opt/it", ("serve",), {"DISPATCH_MCP_WORKSPACE": "/y"})
    client = clients.CLIENTS["gemini"]
    entry = registrations.addition(client.place("user", around), client.entry(launch)).entry()
    assert entry == {
        "command": "/opt/it",
        "args": ["serve"],
        "timeout": 9,
        "env": {"MINE": "1", "DISPATCH_MCP_WORKSPACE": "/y"},
    }


def test_the_file_of_before_is_kept_for_the_user_alone(around: clients.Machine, tmp_path: Path) -> None:
    text = '{"mcpServers": {"other": {"env": {"KEY": "secret"}}}}'
    written(around.home / ".cursor/mcp.json", text)
    backup = registrations.carry_out(put(clients.CLIENTS["cursor"], "user", around), tmp_path / "state/backups")
    assert backup is not None
    assert backup.read_text(encoding="utf-8") == text
    modes = [stat.S_IMODE(path.stat().st_mode) for path in (backup, backup.parent, backup.parent.parent)]
    assert modes == [0o600, 0o700, 0o700]


def test_a_file_keeps_its_mode_and_a_link_stays_a_link(around: clients.Machine, tmp_path: Path) -> None:
    real = written(tmp_path / "dotfiles/mcp.json", "{}")
    real.chmod(0o640)
    link = around.home / ".cursor/mcp.json"
    link.parent.mkdir()
    link.symlink_to(real)
    registrations.carry_out(put(clients.CLIENTS["cursor"], "user", around), tmp_path / "state/backups")
    assert link.is_symlink()
    assert "dispatch" in real.read_text(encoding="utf-8")
    assert stat.S_IMODE(real.stat().st_mode) == 0o640
    assert [path.name for path in real.parent.iterdir()] == ["mcp.json"]


def test_a_file_that_changed_meanwhile_is_not_written_over(around: clients.Machine, tmp_path: Path) -> None:
    file = written(around.home / ".claude.json", "{}")
    change = put(clients.CLIENTS["claude-code"], "user", around)
    file.write_text('{"theirs": 1}', encoding="utf-8")
    with pytest.raises(errors.ConfigError, match="has changed meanwhile"):
        registrations.carry_out(change, tmp_path / "state/backups")
    assert file.read_text(encoding="utf-8") == '{"theirs": 1}'
    assert [path.name for path in around.home.iterdir()] == [".claude.json"]


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"{ not json", "line 1"),
        (b'{"mcpServers": 1}', "mcpServers is no object"),
        (b"[]", "the file is no object"),
        (b"\xff\xfe", "not UTF-8"),
    ],
)
def test_a_file_that_cannot_be_changed_is_left_alone(content: bytes, why: str, around: clients.Machine) -> None:
    file = around.home / ".claude.json"
    file.write_bytes(content)
    with pytest.raises(errors.ConfigError, match=why):
        put(clients.CLIENTS["claude-code"], "user", around)
    assert file.read_bytes() == content


@contextmanager
def full_disk() -> Generator[None]:
    """No file can grow, as on a disk that is full."""
    import resource  # noqa: PLC0415  # only POSIX has it

    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.skipif(sys.platform == "win32", reason="the limit on the size of files is POSIX")
@pytest.mark.parametrize("text", ["", '{"mcpServers": {}}'], ids=["a new file", "a file of before"])
def test_a_full_disk_is_named_with_the_file_and_leaves_everything_as_it_was(
    text: str, around: clients.Machine, tmp_path: Path
) -> None:
    file, backups = around.home / ".cursor/mcp.json", tmp_path / "state/backups"
    if text:
        written(file, text)
    change = put(clients.CLIENTS["cursor"], "user", around)
    with full_disk(), pytest.raises(errors.ConfigError) as refusal:
        registrations.carry_out(change, backups)
    assert str(backups if text else file) in refusal.value.message
    assert refusal.value.hint == "Nothing was changed."
    leftovers = [path for folder in (file.parent, backups) if folder.exists() for path in folder.iterdir()]
    assert leftovers == ([file] if text else [])
    assert not text or file.read_text(encoding="utf-8") == text


def test_a_folder_in_the_place_of_a_file_is_named(around: clients.Machine) -> None:
    (around.home / ".claude.json").mkdir()
    with pytest.raises(errors.ConfigError, match=r"\.claude\.json' cannot be read"):
        registrations.present(clients.CLIENTS["claude-code"].place("user", around))


@pytest.mark.skipif(os.name != "posix", reason="modes are those of POSIX")
def test_a_new_file_has_the_mode_that_its_place_asks_for(around: clients.Machine, tmp_path: Path) -> None:
    client = clients.CLIENTS["claude-code"]
    registrations.carry_out(put(client, "user", around), tmp_path / "state/backups")
    registrations.carry_out(put(client, "project", around), tmp_path / "state/backups", new_mode=0o644)
    modes = [stat.S_IMODE(client.place(scope, around).file.stat().st_mode) for scope in ("user", "project")]
    assert modes == [0o600, 0o644]
