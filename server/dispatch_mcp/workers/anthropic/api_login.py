"""Who asks the API; apart, so that it can be told whether there is a key without loading who would use it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Login:
    """Where the API is and who asks; `url` is empty for the provider's own."""

    key: str = field(default="", repr=False)
    token: str = field(default="", repr=False)
    url: str = ""

    @classmethod
    def from_env(cls, env: Mapping[str, str]) -> Login:
        """Returns the login that the environment holds."""
        return cls(
            env.get("ANTHROPIC_API_KEY", ""), env.get("ANTHROPIC_AUTH_TOKEN", ""), env.get("ANTHROPIC_BASE_URL", "")
        )

    def __bool__(self) -> bool:
        """Whether there is one."""
        return bool(self.key or self.token)
