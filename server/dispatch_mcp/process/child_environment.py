"""What a child process learns from the server's environment (promises S8, S9, S10)."""

from __future__ import annotations

import functools
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib import parse

DEPTH = "DISPATCH_MCP_DEPTH"
"""How many dispatch-mcp servers stand above this process; blocks recursion."""

BUDGET = "DISPATCH_MCP_MAX_DOLLARS"
"""What dispatchers below this process may spend at most on a run: they inherit what an attempt was given."""

BASE_NAMES = frozenset(
    {
        *("PATH", "HOME", "USER", "LOGNAME", "LANG", "LANGUAGE", "TZ", "TMPDIR", "VIRTUAL_ENV"),
        *("SYSTEMROOT", "PATHEXT", "TEMP", "TMP", "USERPROFILE"),
    }
)
FIXED: Mapping[str, str] = {
    "TERM": "dumb",
    "NO_COLOR": "1",
    "PAGER": "cat",
    "GIT_PAGER": "cat",
    "GIT_TERMINAL_PROMPT": "0",
    "GIT_OPTIONAL_LOCKS": "0",
}
"""Set for every child: no colours, pagers or questions, and git reads without refreshing its index."""

_SECRET_WORDS = (
    *("API_?KEYS?", "KEY", "TOKENS?", "SECRETS?", "PASS", "PASSWD", "PASSWORD", "PASSPHRASE", "PWD"),
    *("CREDENTIALS?", "AUTH", "COOKIE", "DSN", "PAT"),
)
_POINTERS = r"SOCK$|FILE$|PATH$|DIR$"
# A word between underscores, unless the name says that its value is only where a secret is: `SSH_KEY_FILE`.
_SECRET_NAME = re.compile(rf"(?:^|_)(?:{'|'.join(_SECRET_WORDS)})(?:$|_(?!{_POINTERS}))", re.IGNORECASE)
_NOT_SECRET = frozenset({"PWD", "OLDPWD", "XAUTHORITY", "SSH_AUTH_SOCK"})

SECRET_SHAPES: Mapping[str, str] = {
    "openai or anthropic": r"\bsk-[A-Za-z0-9_-]{16,}",
    "github": r"\bgh[pousr]_[A-Za-z0-9]{20,}",
    "github, fine-grained": r"\bgithub_pat_[A-Za-z0-9_]{20,}",
    "gitlab": r"\bglpat-[\w-]{16,}",
    "slack": r"\bxox[abeoprs]-[A-Za-z0-9-]{10,}",
    "aws": r"\b(?:AKIA|ASIA)[A-Z0-9]{16}\b",
    "google": r"\bAIza[\w-]{30,}",
    "npm": r"\bnpm_[A-Za-z0-9]{30,}",
    "pypi": r"\bpypi-[\w-]{30,}",
    "hugging face": r"\bhf_[A-Za-z0-9]{30,}",
    "stripe": r"\b[rs]k_(?:live|test)_[A-Za-z0-9]{16,}",
    "jwt": r"(?<![\w-])eyJ[\w-]{10,}+\.eyJ[\w-]{10,}+\.",
    "private key": r"-----BEGIN [A-Z ]{0,40}PRIVATE KEY-----",
}
"""How the values of secrets look, by who issues them.

Looser than `text.redaction.PATTERNS`, which look for the same in prose: a variable that is withheld by mistake costs
less than one that is passed on, and the user can name it in the settings.
"""
_SECRET_VALUE = re.compile("|".join(SECRET_SHAPES.values()))
_PASSWORD_IN_URL = re.compile(r"\b[A-Za-z][A-Za-z0-9+.-]{0,30}://[^\s/@:]*+:([^\s/@]++)@")
_SHORTEST_SECRET = 8


@functools.lru_cache(maxsize=512)
def looks_secret(name: str, value: str) -> bool:
    """Returns whether a variable's name or value says that it is a key, token or password."""
    if name.upper() in _NOT_SECRET:
        return False
    return bool(_SECRET_NAME.search(name) or _SECRET_VALUE.search(value) or _PASSWORD_IN_URL.search(value))


def secret_values(variables: Mapping[str, str]) -> frozenset[str]:
    """Returns the values to redact wherever they appear; passwords inside URLs also on their own, decoded too.

    Values under 8 characters are left out: redacting them would blot out ordinary words.
    """
    secrets: set[str] = set()
    for name, value in variables.items():
        if looks_secret(name, value):
            passwords = _PASSWORD_IN_URL.findall(value)
            secrets |= {value, value.strip(), *passwords, *map(parse.unquote, passwords)}
    return frozenset(secret for secret in secrets if len(secret) >= _SHORTEST_SECRET)


@dataclass(frozen=True, slots=True)
class ChildPolicy:
    """Which of the server's `variables` a child receives, and how deep dispatch-mcp may nest.

    `pass_names` are the names that the user configured; only they let a variable through that looks like a secret.
    """

    variables: Mapping[str, str] = field(repr=False)
    pass_names: frozenset[str] = frozenset()
    depth: int = 0
    depth_limit: int = 2

    @property
    def too_deep(self) -> bool:
        """Whether a child would stand deeper than the limit."""
        return self.depth + 1 > self.depth_limit

    def environment(self, extra: Mapping[str, str] | None = None, *, dollars: float | None = None) -> dict[str, str]:
        """Returns a child's whole environment: allowed names, fixed settings, `extra`, its budget and its depth.

        `dollars` is what dispatchers below it may spend, None for no ceiling.
        """
        # These two come last: nothing that is passed or added can make a child richer or less deep than it is.
        names = [name for name in self.variables if self._is_named(name)]  # few, and reading a value takes time
        variables = {name: self.variables[name] for name in names if self._passes(name, self.variables[name])}
        budget = {} if dollars is None else {BUDGET: f"{dollars:.6f}"}
        return {**FIXED, **variables, **(extra or {}), **budget, DEPTH: str(self.depth + 1)}

    def _is_named(self, name: str) -> bool:
        if not name or "=" in name:
            return False
        return name in self.pass_names or name in BASE_NAMES or name.startswith("LC_")

    def _passes(self, name: str, value: str) -> bool:
        return "\0" not in value and (name in self.pass_names or not looks_secret(name, value))
