"""Serving over HTTP: the address, a first token, and what is said about both."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import anyio

import dispatch_mcp
from dispatch_mcp import configuration
from dispatch_mcp.agents import a2a_card
from dispatch_mcp.cli import console, logs, person_acts, shell_wording
from dispatch_mcp.mcp_server import descriptions, lazy
from dispatch_mcp.mcp_server import server as mcp_server
from dispatch_mcp.model import records
from dispatch_mcp.pages import live_pictures
from dispatch_mcp.service import dispatcher
from dispatch_mcp.text import redaction
from dispatch_mcp.web import access_tokens, http_server

FIRST = records.LOCAL
"""Whose token is made when the server is started and nobody has one: the user's, who has a shell here too."""

Loaders = Callable[[configuration.LoadedSettings, redaction.Redactor], lazy.Loaders]


def main(text: str, names: Sequence[str], setup: configuration.LoadedSettings, loaders: Loaders) -> None:
    """Serves at the address that `text` says, empty for the usual one, until a signal comes.

    Raises:
        InputError: it is no address, or other machines could reach it and no name is given.
        ConfigError: nothing can listen there, or the tokens cannot be read.
    """
    address = http_server.Address.parse(text or f"{http_server.HOST}:{http_server.PORT}", names)
    tokens = access_tokens.Tokens(setup.settings.home)
    redactor = logs.to_stderr(setup, waits=False)
    listener = address.listen()
    host, port = listener.getsockname()[:2]
    url = f"http://{f'[{host}]' if ':' in host else host}:{port}{http_server.PATH}"
    _introduce(url, tokens, setup.settings.home)
    openings: list[lazy.Opening] = []

    async def keep(opening: lazy.Opening) -> None:
        openings[:] = [opening]
        await anyio.sleep_forever()

    async def is_ready() -> None:
        await openings[0].get()

    async def app_of_request() -> dispatcher.Dispatcher:
        return await openings[0].get()

    server = mcp_server.make_server(
        loaders(setup, redactor), home=setup.settings.home, redactor=redactor, companions=[keep]
    )
    card = a2a_card.server_card(
        url,
        version=dispatch_mcp.__version__,
        about="Plans work for several agents, hands it out, and keeps what was done.",
        skills=descriptions.DESCRIPTIONS,
    )
    pictures = live_pictures.LivePictures(app_of_request, shell_wording.words, redactor)
    app = http_server.application(
        server, address, owner=tokens.owner, is_ready=is_ready, card=card, pictures=pictures, redactor=redactor
    )
    anyio.run(http_server.serve, app, listener, pictures.end)


def _introduce(url: str, tokens: access_tokens.Tokens, home: Path) -> None:
    """Says where the server is, and the first token if nobody has one yet. Raises NotAllowed if no person gets it."""
    if not tokens.names():
        person_acts.refuse(person_acts.PersonAct.ADMIT, home)
    console.note(f"Serving MCP at {url} until you stop it with Ctrl-C.")
    console.note(f"Your runs to look at: {url.removesuffix(http_server.PATH)}/")
    if tokens.names():
        console.note("Clients need a token: dispatch-mcp token.")
        return
    token = tokens.add(FIRST)
    console.note("A token for you, shown once; clients send it as the header `Authorization: Bearer TOKEN`:")
    # Past the console, which takes out whatever looks like a secret.
    sys.stderr.write(f"{token}\n")
