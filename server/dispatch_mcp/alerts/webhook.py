"""Alerts by HTTP: signed as the Standard Webhooks say, sent only where a user's URL may lead, never redirected."""

from __future__ import annotations

import base64
import hashlib
import hmac
import http.client
import secrets
import socket
import ssl
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import anyio

from dispatch_mcp import __version__, errors
from dispatch_mcp.alerts import alert_words, channels
from dispatch_mcp.process import computation, private_files, web_address
from dispatch_mcp.store.outbox import alert_box

KEY_FILE: Final = "webhook-key"
PREFIX: Final = "whsec_"
"""What the key begins with, so that scanners for secrets and libraries for webhooks recognise it."""

ANSWER_S: Final = 10.0
"""Seconds that a receiver has to answer."""

_KEY_BYTES: Final = 32
_MOST_ANSWER: Final = 1024
_REFUSALS: Final = frozenset({400, 410, 413, 415, 422})
"""Answers about this alert, which it would get again; what is wrong with the URL or its rights can be mended."""


def key(home: Path) -> str:
    """Returns the key by which receivers know that an alert is ours; it is made when it is needed first.

    Raises:
        ConfigError: it cannot be read or made, or is none.
    """
    file, new = home / KEY_FILE, PREFIX + base64.b64encode(secrets.token_bytes(_KEY_BYTES)).decode()
    try:
        return _checked(private_files.common(file, f"{new}\n").strip(), file)
    except (OSError, UnicodeDecodeError) as error:
        raise errors.ConfigError(
            f"The key of the webhook in {str(file)!r} cannot be used: {error}.", hint="Check the state folder."
        ) from error


def _checked(secret: str, file: Path) -> str:
    """Returns a key that can sign. Raises ConfigError."""
    with suppress(ValueError):
        if secret.startswith(PREFIX) and base64.b64decode(secret.removeprefix(PREFIX), validate=True):
            return secret
    raise errors.ConfigError(
        f"{str(file)!r} holds no key of a webhook.",
        hint="Put the key back that it held, or move the file elsewhere: then another key is made.",
    )


def signature(secret: str, alert_id: str, at: int, body: bytes) -> str:
    """Returns what a receiver compares: `v1,` and the HMAC-SHA256 of id, seconds and body, joined by points."""
    text = b".".join([alert_id.encode(), str(at).encode(), body])
    digest = hmac.new(base64.b64decode(secret.removeprefix(PREFIX)), text, hashlib.sha256).digest()
    return f"v1,{base64.b64encode(digest).decode()}"


@dataclass(frozen=True, slots=True)
class WebhookChannel:
    """A receiver at a URL of the user; each try is signed with its own time, and has the id of its alert."""

    url: str
    home: Path
    clock: Callable[[], float] = time.time

    async def tell(self, alert: alert_box.Alert) -> None:
        """Sends an alert.

        Raises:
            NotTold: the receiver cannot be reached, or says that it could not take it now.
            NeverTold: the URL leads where nothing may be sent, or the receiver refuses it.
        """
        try:
            target = web_address.parse(self.url)
            status = await self._answer(target, alert)
        except web_address.ForbiddenAddress as refusal:
            raise channels.NeverTold(refusal.message, hint=refusal.hint) from refusal
        except web_address.Unreachable as trouble:
            raise channels.NotTold(trouble.message) from trouble
        except errors.ConfigError as trouble:
            raise channels.NotTold(trouble.message, hint=trouble.hint) from trouble
        _judge(status, target.host)

    async def _answer(self, target: web_address.WebAddress, alert: alert_box.Alert) -> int:
        body, now = alert_words.document(alert), int(self.clock())
        headers = {
            "Content-Type": "application/json",
            "User-Agent": f"dispatch-mcp/{__version__}",
            "webhook-id": alert.id,
            "webhook-timestamp": str(now),
            "webhook-signature": signature(key(self.home), alert.id, now, body),
        }
        with anyio.move_on_after(ANSWER_S):
            return await computation.detached(lambda: post(target, body, headers))
        raise web_address.Unreachable(f"{target.host!r} did not answer in {ANSWER_S:g} s.")


def _judge(status: int, host: str) -> None:
    if 200 <= status < 300:
        return
    if 300 <= status < 400:
        raise channels.NotTold(f"{host!r} answered {status}; redirects are not followed.", hint="Name the last URL.")
    if status in _REFUSALS:
        raise channels.NeverTold(f"{host!r} refuses the alert: it answered {status}.")
    raise channels.NotTold(f"{host!r} answered {status}.")


def post(target: web_address.WebAddress, body: bytes, headers: Mapping[str, str]) -> int:
    """Returns the status with which a target answers a POST; what it says beside that is not used.

    Raises:
        ForbiddenAddress: its name leads where nothing may be sent.
        Unreachable: it cannot be reached, or does not answer in time.
    """
    trouble: Exception = web_address.Unreachable("it has no address")
    for host in web_address.addresses(target):
        connection = _Pinned(target, host)
        try:
            connection.request("POST", target.path, body, dict(headers))
            answer = connection.getresponse()
            answer.read(_MOST_ANSWER)
        except (OSError, http.client.HTTPException) as error:
            trouble = error
        else:
            return answer.status
        finally:
            connection.close()
    raise web_address.Unreachable(f"{target.host!r} cannot be reached: {trouble}.") from trouble


class _Pinned(http.client.HTTPConnection):
    """A connection to one address that was judged, under the name that stands in the URL."""

    def __init__(self, target: web_address.WebAddress, host: str) -> None:
        super().__init__(target.host, target.port, timeout=ANSWER_S)
        self._target = target
        self._address = host
        self.default_port = 443 if target.is_secure else 80  # of the Host header

    def connect(self) -> None:
        """Connects to the address; with TLS the name has to be the one of the certificate."""
        self.sock = socket.create_connection((self._address, self._target.port), ANSWER_S)
        if self._target.is_secure:
            self.sock = ssl.create_default_context().wrap_socket(self.sock, server_hostname=self._target.host)
