"""By which command a client starts this very installation: always an absolute one, since clients know other paths."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from importlib import metadata
from pathlib import Path

from dispatch_mcp import errors, model
from dispatch_mcp.registration import clients

_SHORT_LIVED = frozenset({"archive-v0", "environments-v2", "builds-v0"})
"""Folders of uv's cache in which `uvx` keeps environments for a while."""

Find = Callable[[str], str | None]
"""Looks a program up on the path."""


def launch(python: Path, package: str, env: Mapping[str, str], find: Find) -> clients.Launch:
    """Returns how the installation to which the interpreter `python` belongs is started.

    `package` is what `uvx` would have to fetch: a name with its version, or an address (`package_here`).

    Raises:
        ConfigError: it lies in a cache that is cleaned now and then, and there is no `uvx` that could make it again.
    """
    if _SHORT_LIVED & set(python.parts):
        return _by_uvx(package, env, find)
    script = python.with_name("dispatch-mcp.exe" if os.name == "nt" else "dispatch-mcp")
    if script.is_file():
        return clients.Launch(str(script), ("serve",))
    return clients.Launch(str(python), ("-m", "dispatch_mcp", "serve"))


def package_here(version: str) -> str:
    """Returns what an installer fetches to get this version again: where it was fetched from, or its name."""
    try:
        origin = metadata.distribution("dispatch-mcp").read_text("direct_url.json")
    except metadata.PackageNotFoundError:
        origin = None
    address: model.Json = json.loads(origin) if origin else {}
    url = str(address.get("url", ""))
    revision = str(address.get("vcs_info", {}).get("commit_id", ""))
    if url and revision:
        return f"git+{url}@{revision}"
    return url or f"dispatch-mcp=={version}"


def _by_uvx(package: str, env: Mapping[str, str], find: Find) -> clients.Launch:
    beside_uv = Path(env["UV"]).with_name("uvx") if env.get("UV") else None
    uvx = str(beside_uv) if beside_uv is not None and beside_uv.is_file() else find("uvx")
    if uvx is None:
        raise errors.ConfigError(
            "This copy of dispatch-mcp lies in uv's cache, which is cleaned now and then, and `uvx` is not there.",
            hint="Install it to stay: `uv tool install dispatch-mcp`, or `pip install dispatch-mcp`.",
        )
    return clients.Launch(os.path.abspath(uvx), ("--from", package, "dispatch-mcp", "serve"))  # noqa: PTH100  # a link to uvx stays one
