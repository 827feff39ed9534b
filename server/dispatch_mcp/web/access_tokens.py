"""Tokens by which clients of the HTTP server are let in: shown once, kept as digests."""

from __future__ import annotations

import hashlib
import hmac
import json
import re
import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from dispatch_mcp import errors
from dispatch_mcp.process import private_files
from dispatch_mcp.text import json_types

FILE: Final = "http-tokens.json"
PREFIX: Final = "dmcp_"
"""What every token begins with, so that scanners for secrets recognise one."""

NAME: Final = re.compile(r"[a-z0-9][a-z0-9-]{0,31}")
MAX_TOKENS: Final = 200

_BYTES: Final = 32
_DIGEST: Final = re.compile(r"[0-9a-f]{64}")


class Tokens:
    """The tokens of one state folder, each under the name of whom it was made for."""

    def __init__(self, home: Path) -> None:
        self._file = home / FILE

    def names(self) -> list[str]:
        """Returns the names that have a token. Raises ConfigError for a file that cannot be read."""
        return sorted(self._digests())

    def owner(self, token: str) -> str:
        """Returns whose token this is, empty for nobody's; it takes as long for every token."""
        digest = _digest(token)
        names = [name for name, other in self._digests().items() if hmac.compare_digest(digest, other)]
        return names[0] if names else ""

    def add(self, name: str) -> str:
        """Returns a new token for a name; it is kept nowhere.

        Raises:
            InputError: the name is none, or has a token already.
            ConfigError: there are MAX_TOKENS, or their file cannot be read.
        """
        if not NAME.fullmatch(name):
            raise errors.InputError(
                f"{name!r} is no name for a token.", hint="Take up to 32 of a-z, 0-9 and -, beginning with none of -."
            )
        digests = self._digests()
        if name in digests:
            raise errors.InputError(f"{name!r} has a token already.", hint="Remove it first, or take another name.")
        if len(digests) >= MAX_TOKENS:
            raise errors.ConfigError(f"There are {MAX_TOKENS} tokens.", hint="Remove those that nobody uses.")
        token = PREFIX + secrets.token_urlsafe(_BYTES)
        self._keep({**digests, name: _digest(token)})
        return token

    def remove(self, name: str) -> None:
        """Lets nobody in any more with the token of a name. Raises InputError when it has none."""
        digests = self._digests()
        if name not in digests:
            there = ", ".join(sorted(digests)) or "nobody has one"
            raise errors.InputError(f"{name!r} has no token.", hint=f"There are: {there}.")
        self._keep({other: digest for other, digest in digests.items() if other != name})

    def _digests(self) -> Mapping[str, str]:
        try:
            value = json.loads(self._file.read_text("utf-8"))
        except (FileNotFoundError, NotADirectoryError):
            return {}
        except (OSError, ValueError, RecursionError):
            value = None
        if not json_types.is_object(value) or not all(_DIGEST.fullmatch(str(digest)) for digest in value.values()):
            raise errors.ConfigError(
                f"The tokens in {str(self._file)!r} cannot be read.", hint="Move the file away and make new ones."
            )
        return {name: str(digest) for name, digest in value.items()}

    def _keep(self, digests: Mapping[str, str]) -> None:
        private_files.write(self._file, json.dumps(digests, indent=1))


def _digest(token: str) -> str:
    # A token has 256 random bits: no slow hash makes them harder to guess.
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).hexdigest()
