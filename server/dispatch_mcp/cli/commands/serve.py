"""`dispatch-mcp serve`: the MCP server on stdio, or at an address of this machine."""

from __future__ import annotations

import argparse
import contextlib
import logging
import os
import signal
import sys
import urllib.parse
from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import anyio

from dispatch_mcp import configuration, errors
from dispatch_mcp.cli import logs
from dispatch_mcp.hooks import hand_ins, hook_listener, hook_socket
from dispatch_mcp.mcp_server import elicitation, lazy, stdio_messages
from dispatch_mcp.mcp_server import server as mcp_server
from dispatch_mcp.mcp_server.handshake import early_answers
from dispatch_mcp.model import records
from dispatch_mcp.process import ancestry, standard_streams, undisturbed_loading, workspace_sense
from dispatch_mcp.text import redaction

if TYPE_CHECKING:
    from dispatch_mcp.service import dispatcher

log = logging.getLogger(__name__)

SWITCH_S = 0.001
"""Seconds after which a thread that computes lets others go on: an answer takes turns of several threads."""

HAND_INS_S = 5.0
"""Seconds that the first call waits until what hooks have kept is taken, so that it answers with what that leaves."""

EXIT_GRACE_S = 2.0
"""Seconds that a stopped server has for its lifespan to end, before the process ends itself."""


def main(
    options: argparse.Namespace, setup: configuration.LoadedSettings, beginning: early_answers.Beginning | None = None
) -> int:
    """Serves until the client closes stdin or a signal comes; returns the exit code.

    `beginning` is the session, if it has begun while this was loaded.

    Raises:
        InputError: the address to serve at is none, or one that must not be served at.
        ConfigError: nothing can listen there, there is no stdin or stdout to serve on, or settings cannot be used. On
            stdio the answers say that instead: a host shows nobody why a server has ended.
    """
    if options.http is not None and setup.fault:
        raise setup.fault
    # What a program of a run answers in a client's place is no person's word.
    is_below = ancestry.sign_of_dispatcher(os.environ, setup.settings.home)
    with elicitation.unasked() if is_below else contextlib.nullcontext():
        return _over_http(options, setup) if options.http is not None else _over_stdio(setup, beginning)


def _over_stdio(setup: configuration.LoadedSettings, beginning: early_answers.Beginning | None) -> int:
    if standard_streams.CLOSED - {"stderr"}:
        raise errors.ConfigError(
            "The server speaks on stdin and stdout, and one of them is closed.",
            hint="Let an MCP client start it, or serve at an address: dispatch-mcp serve --http 127.0.0.1:8765.",
        )
    sys.stdout.reconfigure(line_buffering=True)  # type: ignore[union-attr]  # a stray line then goes to stderr at once
    redactor = logs.to_stderr(setup, waits=False)
    for warning in setup.warnings:
        log.warning("%s", warning)
    if setup.fault:
        log.error("%s", setup.fault)
    sys.setswitchinterval(SWITCH_S)
    anyio.run(_serve, setup, redactor, beginning)
    end_now()
    return 0


def _over_http(options: argparse.Namespace, setup: configuration.LoadedSettings) -> int:
    from dispatch_mcp.cli import http_service  # noqa: PLC0415  # a session on stdio needs no web server

    http_service.main(options.http, options.allow_host, setup, loaders)
    return 0


def end_now() -> None:
    """Ends the process: everything is closed by now, and taking the interpreter apart would cost half a second more."""
    logging.shutdown()
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError):
            stream.flush()
    os._exit(0)


@dataclass
class ServerWorkspace:
    """Which workspace this session works in: that of the settings, or one that its client has open."""

    setup: configuration.LoadedSettings

    @property
    def is_missing(self) -> bool:
        """Whether what the settings name is no workspace."""
        workspace = self.setup.settings.workspace
        return bool(workspace_sense.reason(workspace, is_guess=self.setup.guesses_workspace))

    def choose(self, roots: Sequence[str]) -> bool:
        """Takes the first of these URIs that is a workspace, and returns whether there is one."""
        for root in roots:
            folder = _folder_of(root)
            if folder is not None and not workspace_sense.reason(folder):
                settings = self.setup.settings.model_copy(update={"workspace": folder})
                origin = {**self.setup.origin, "workspace": configuration.Origin("flag", "roots of the client")}
                self.setup = replace(self.setup, settings=settings, origin=origin)
                log.info("the client has %s open", folder)
                return True
        return False


def _folder_of(root: str) -> Path | None:
    """Returns the folder on this machine that a URI names, None for anything else."""
    parts = urllib.parse.urlsplit(root)
    if parts.scheme != "file" or parts.netloc not in ("", "localhost"):
        return None
    path = urllib.parse.unquote(parts.path)
    folder = Path(path.lstrip("/") if os.name == "nt" else path)
    return folder if folder.is_absolute() and "\0" not in path else None


def loaders(
    setup: configuration.LoadedSettings, redactor: redaction.Redactor, *, has_one_client: bool = False
) -> lazy.Loaders:
    """Returns what loads the server's parts: imported when they are needed, so that a session starts without them.

    A server that has one client works in what is open there if it was started in no workspace.
    """
    place = ServerWorkspace(setup)

    @contextlib.asynccontextmanager
    async def dispatcher_of_settings(principal: str) -> AsyncGenerator[dispatcher.Dispatcher]:
        with undisturbed_loading.undisturbed():
            from dispatch_mcp import composition  # noqa: PLC0415

        place.setup = place.setup.mended()
        settings = place.setup.settings
        own_redactor = redaction.Redactor(place.setup.secrets) if setup.fault else redactor
        async with composition.open_dispatcher(
            settings, redactor=own_redactor, principal=principal, guesses_workspace=place.setup.guesses_workspace
        ) as app:
            if principal == records.LOCAL and (settings.home / hand_ins.FOLDER).exists():
                from dispatch_mcp.hooks import hand_in_clerk  # noqa: PLC0415  # most sessions never need it

                async with hand_in_clerk.taking(app, settings.home, settings.hooks, HAND_INS_S):
                    yield app
            else:
                yield app

    def tools() -> lazy.ToolCalls:
        with undisturbed_loading.undisturbed():
            from dispatch_mcp.mcp_server import tools  # noqa: PLC0415

        return tools

    def documents() -> lazy.Documents:
        with undisturbed_loading.undisturbed():
            from dispatch_mcp.mcp_server import resources  # noqa: PLC0415

        return resources

    def prompts() -> lazy.Prompts:
        with undisturbed_loading.undisturbed():
            from dispatch_mcp.mcp_server import prompts  # noqa: PLC0415

        return prompts

    return lazy.Loaders(dispatcher_of_settings, tools, documents, prompts, place if has_one_client else None)


async def _serve(
    setup: configuration.LoadedSettings, redactor: redaction.Redactor, beginning: early_answers.Beginning | None
) -> None:
    settings = setup.settings
    server = mcp_server.make_server(
        loaders(setup, redactor, has_one_client=True),
        home=settings.home,
        redactor=redactor,
        companions=[] if setup.fault else _companions(settings),
    )
    async with anyio.create_task_group() as group:
        if sys.platform != "win32":
            group.start_soon(_stop_on_signal, group.cancel_scope)
        await server.run_stdio_async(beginning)
        group.cancel_scope.cancel()


def _companions(settings: configuration.Settings) -> list[mcp_server.Companion]:
    """Returns what goes on beside the server: answering the hooks of its session, if its host may have some."""
    session = os.environ.get(hook_socket.SESSION, "")
    if not session or settings.hooks == "off":
        return []

    async def answer_hooks(opening: lazy.Opening) -> None:
        memory = hook_listener.SessionMemory()

        async def answer(question: dict[str, Any]) -> dict[str, Any]:
            from dispatch_mcp.hooks import hook_answers  # noqa: PLC0415  # most sessions never need it

            app = await opening.get()
            return await hook_answers.HookAnswers(app, memory, settings.hooks).answer(question)

        async with anyio.create_task_group() as group:
            for name in hook_socket.names_of(os.getppid(), session):
                group.start_soon(hook_listener.listen, settings.home, name, answer)

    return [answer_hooks]


async def _stop_on_signal(scope: anyio.CancelScope) -> None:
    """Cancels the server on SIGTERM or SIGINT; the stdin thread never wakes, so the process ends itself."""
    with anyio.open_signal_receiver(signal.SIGTERM, signal.SIGINT) as signals:
        async for _ in signals:
            stdio_messages.exit_within(EXIT_GRACE_S)
            scope.cancel()
            return
