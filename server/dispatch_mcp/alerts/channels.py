"""Ways of telling people: a program of theirs, and the notifications of their desktop."""

from __future__ import annotations

import base64
import html
import shutil
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol

from dispatch_mcp import errors
from dispatch_mcp.alerts import alert_words
from dispatch_mcp.process import child_environment, program_path, supervisor
from dispatch_mcp.store.outbox import alert_box
from dispatch_mcp.text import escape

PROGRAM_S: Final = 20.0
"""Seconds that a program has to tell somebody."""

VARIABLE: Final = "DISPATCH_ALERT"
"""The variable in which a program finds the same JSON as on its standard input."""

_OUTPUT_BYTES: Final = 2048
_MOST_SAID: Final = 200

_APPLE_SCRIPT: Final = (
    "on run argv",
    "display notification (item 2 of argv) with title (item 1 of argv)",
    "end run",
)
_TOAST: Final = Path(__file__).with_name("toast.ps1")


class NotTold(errors.DispatchError):
    """Nobody was told; another try may succeed."""


class NeverTold(errors.DispatchError):
    """Nobody was told, and no other try would change that."""


class Channel(Protocol):
    """A way of telling people."""

    async def tell(self, alert: alert_box.Alert) -> None:
        """Returns once somebody was told.

        Raises:
            NotTold: this try has failed.
            NeverTold: every other would.
        """
        ...


@dataclass(frozen=True, slots=True)
class ProgramChannel:
    """A program with the JSON on its standard input and in `DISPATCH_ALERT`; exit code 0 says that it told somebody.

    It is started without a shell, in the state folder, with the environment that every child has.
    """

    argv: tuple[str, ...]
    home: Path
    policy: child_environment.ChildPolicy

    async def tell(self, alert: alert_box.Alert) -> None:
        """Runs the program. Raises NotTold."""
        text = alert_words.local_document(alert)
        env = self.policy.environment({VARIABLE: text.decode()})
        await run(self.argv, env, self.home, alert, stdin=text)


@dataclass(frozen=True, slots=True)
class DesktopChannel:
    """The notifications of macOS, of Linux desktops (`notify-send`), or of Windows from within its Linux."""

    home: Path
    policy: child_environment.ChildPolicy
    platform: str = sys.platform

    async def tell(self, alert: alert_box.Alert) -> None:
        """Shows a notification.

        Raises:
            NotTold: the desktop does not take it now.
            NeverTold: there is no desktop.
        """
        env = self.policy.environment(_of_desktop(self.policy.variables))
        program = desktop_program(env.get("PATH", ""), self.platform)
        if not program:
            raise NeverTold("There is no program that shows notifications here.", hint="Install notify-send.")
        await run(desktop_argv(program, *alert_words.sentences(alert)), env, self.home, alert)


def desktop_program(path: str, platform: str = sys.platform) -> str:
    """Returns what shows notifications on this desktop, empty where nothing does."""
    names = ("osascript",) if platform == "darwin" else ("notify-send", "powershell.exe")
    return next((place for name in names if (place := program_path.find(name, path))), "")


def desktop_argv(program: str, heading: str, line: str) -> list[str]:
    """Returns how a program is started so that it shows a heading and a line, neither of which it can take for code."""
    match Path(program).name:
        case "osascript":
            script = [part for row in _APPLE_SCRIPT for part in ("-e", row)]
            return [program, *script, heading, line]
        case "powershell.exe":
            text = (
                _TOAST.read_text("ascii")
                .replace("'HEADING'", f"'{_base64(heading)}'")
                .replace("'LINE'", f"'{_base64(line)}'")
            )
            script = base64.b64encode(text.encode("utf-16-le")).decode()
            return [program, "-NoProfile", "-NonInteractive", "-EncodedCommand", script]
        case _:
            # The body is markup to most desktops, the heading never is.
            return [program, "--app-name=dispatch-mcp", "--", heading, html.escape(line, quote=False)]


def _base64(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


def _of_desktop(variables: Mapping[str, str]) -> dict[str, str]:
    """Returns the variables by which a program finds the desktop of its user."""
    names = ("DISPLAY", "WAYLAND_DISPLAY", "DBUS_SESSION_BUS_ADDRESS", "XDG_RUNTIME_DIR")
    return {name: variables[name] for name in names if name in variables}


async def run(
    argv: Sequence[str], env: Mapping[str, str], home: Path, alert: alert_box.Alert, stdin: bytes = b""
) -> None:
    """Runs a program to its end. Raises NotTold if it cannot be started, or ends with another code than 0."""
    program = program_path.find(argv[0], env.get("PATH", ""))
    if program is None:
        raise NotTold(f"The program {argv[0]!r} is not on the path.", hint="Install it, or name it by its whole path.")
    folder = home / "alerts" / str(alert.no)
    shutil.rmtree(folder, ignore_errors=True)  # of a server that was killed
    try:
        result = await supervisor.run_child(
            [program, *argv[1:]],
            cwd=home,
            env=env,
            folder=folder,
            timeout_s=PROGRAM_S,
            output_cap=_OUTPUT_BYTES,
            stdin=stdin,
        )
    except errors.WorkerError as trouble:
        raise NotTold(trouble.message) from trouble
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    if result.exit_code != 0:
        words = escape.one_line(result.stderr.decode("utf-8", "replace"), limit=_MOST_SAID)
        end = "took too long" if result.timed_out else f"ended with {result.exit_code or result.signal}"
        raise NotTold(f"{argv[0]!r} {end}{f': {words}' if words else ''}.")
