"""Where one client starts this server from: its own registration, a plugin, a bundle, an entry of another name."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import Final

from dispatch_mcp import errors, model
from dispatch_mcp.registration import clients, registrations
from dispatch_mcp.text import commented_json, json_types

PLUGIN: Final = "dispatch@dispatch-mcp"
"""Our plugin and its marketplace, as Claude Code names them."""
PROGRAM: Final = "dispatch-mcp"
"""What entries of another name start, and the name of our bundle."""


@dataclass(frozen=True, slots=True)
class Listing:
    """One place from which a client starts this server: what it is, how it goes away, and whether it is ours to take.

    `is_registration` says that `uninstall` finds it.
    """

    source: str
    removal: str
    is_registration: bool = False


def listings(client: clients.Client, around: clients.Machine) -> list[Listing]:
    """Returns from where a client starts this server; with more than one it runs twice and lists every tool twice.

    Entries of one name count once, as clients take the nearest scope. A file that cannot be read has nothing of ours.
    """
    places = {scope: client.place(scope, around) for scope in client.places}
    scopes = [scope for scope in ("local", "project", "user") if scope in places]
    nearest = next((scope for scope in scopes if _servers(places[scope]).get(clients.SERVER)), None)
    rows: list[Listing] = []
    if nearest is not None:
        removal = f"`dispatch-mcp uninstall {client.name} --scope {nearest}`"
        rows.append(Listing(f"the registration in {places[nearest].file}", removal, is_registration=True))
    for place in dict.fromkeys(places.values()):
        rows += [
            Listing(f"the entry {name!r} in {place.file}", "a text editor")
            for name, entry in _servers(place).items()
            if name != clients.SERVER and _starts_us(entry)
        ]
    return [*rows, *_PACKAGES.get(client.name, _no_packages)(around)]


def _servers(place: clients.EntryPlace) -> Mapping[str, model.Json]:
    try:
        servers = registrations.present(clients.EntryPlace(place.file, place.keys[:-1], place.style))
    except errors.ConfigError:
        return {}
    return servers or {}


def _starts_us(entry: model.Json) -> bool:
    if not json_types.is_object(entry):
        return False
    command: model.Json = entry.get("command")
    words: model.Json = command if json_types.is_list(command) else [command]
    return bool(words) and PurePath(str(words[0])).stem == PROGRAM


def _no_packages(_around: clients.Machine) -> Iterator[Listing]:
    yield from ()


def _plugin(around: clients.Machine) -> Iterator[Listing]:
    """Yields our plugin where Claude Code has it switched on; what is nearest to the project decides."""
    home = around.folder("CLAUDE_CONFIG_DIR", around.home / ".claude")
    project = around.project / ".claude"
    files = (project / "settings.local.json", project / "settings.json", home / "settings.json")
    words = (json_types.is_object(value) and value.get("enabledPlugins") for value in map(_json, files))
    choices = [plugins[PLUGIN] for plugins in words if json_types.is_object(plugins) and PLUGIN in plugins]
    plugin_list = _json(home / "plugins" / "installed_plugins.json")
    plugins: model.Json = plugin_list.get("plugins") if json_types.is_object(plugin_list) else None
    if choices and choices[0] is True and json_types.is_object(plugins) and plugins.get(PLUGIN):
        yield Listing(f"the plugin {PLUGIN}", f"`claude plugin uninstall {PLUGIN}`")


def _bundle(around: clients.Machine) -> Iterator[Listing]:
    for file in sorted((around.applications() / "Claude" / "Claude Extensions").glob("*/manifest.json")):
        manifest = _json(file)
        if json_types.is_object(manifest) and manifest.get("name") == PROGRAM:
            yield Listing(f"the bundle in {file.parent}", "its own page under Settings → Extensions")


_PACKAGES = {"claude-code": _plugin, "claude-desktop": _bundle}


def _json(file: Path) -> model.Json:
    try:
        return commented_json.parse(file.read_text("utf-8"))
    except (OSError, ValueError):
        return None


def double(client: clients.Client, rows: Sequence[Listing]) -> str:
    """Returns what to say and do where a client starts this server more than once; empty where it does not."""
    if len(rows) < 2:
        return ""
    times = "twice" if len(rows) == 2 else f"{len(rows)} times"
    sources = ", and ".join(f"from {row.source}, which {row.removal} takes out" for row in rows)
    more = "; the plugin brings hooks and commands as well" if any(PLUGIN in row.source for row in rows) else ""
    return f"{client.title} starts this server {times} and lists its tools {times}: {sources}. Keep one{more}."
