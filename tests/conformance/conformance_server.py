"""The real server over HTTP with the suite's fixtures beside its own tools; prints its address."""

from __future__ import annotations

import sys
from pathlib import Path

import anyio
import fixtures
import task_fixtures

from dispatch_mcp import composition, configuration
from dispatch_mcp.mcp_server import lazy, prompts, resources, server, tools
from dispatch_mcp.web import http_server


async def ready() -> None:
    """The suite asks for tools at once."""


def main(home: Path, workspace: Path) -> None:
    """Serves until it is killed."""
    settings = configuration.load({}, flags={"home": home, "workspace": workspace}, cwd=workspace).settings
    jobs = task_fixtures.JobTasks()
    protocol = server.make_server(
        lazy.Loaders(
            lambda name: composition.open_dispatcher(settings, principal=name),
            lambda: tools,
            lambda: resources,
            lambda: prompts,
        ),
        companions=[jobs.keep],
        tasks=[jobs],
    )
    fixtures.register(protocol)
    task_fixtures.register(protocol)
    address = http_server.Address(port=0)
    listener = address.listen()
    # The suite has no token to send; hosts and origins are checked as always.
    app = http_server.application(protocol, address, owner=lambda _token: "suite", is_ready=ready, card={})
    sys.stdout.write(f"http://localhost:{listener.getsockname()[1]}{http_server.PATH}\n")
    sys.stdout.flush()
    anyio.run(http_server.serve, app, listener)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
