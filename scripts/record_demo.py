"""Plays the demo and records it for README and docs: as an SVG that plays, its end as text, its run as pictures.

The pictures need a Chromium and stay as they are without one.
"""

from __future__ import annotations

import base64
import io
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

import anyio

from dispatch_mcp.cli import console
from dispatch_mcp.cli.commands import demo
from dispatch_mcp.cli.demo import lanes, show

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests" / "support"))
import browser  # noqa: E402  # a browser for tests

import moving_picture  # noqa: E402  # beside this file

DOCS = ROOT / "docs"
QUALITY = 82
FRAME_S = 0.5
"""Seconds between two frames of the recording."""
FIND_A_TASK = "document.querySelector('#tasks .vrow button').click(); 0"
ENTER = "document.querySelector('#token').value = %r; document.querySelector('#gate form button').click(); 0"


def main() -> None:
    """Plays, and writes what README and docs show."""
    sys.argv[0] = "dispatch-mcp"  # what whoever watches types
    with tempfile.TemporaryDirectory(prefix="dispatch-mcp-demo-", ignore_cleanup_errors=True) as name:
        folder = Path(name)
        performance = show.Show(folder, None)
        recording = moving_picture.Recording(lanes.WIDTH, "make demo")
        anyio.run(_play, performance, recording)
        _record_end(performance, recording)
        if browser.PROGRAM:
            with browser.opened(folder / "chromium") as chromium:
                _record_page(chromium, folder, str(performance.facts["run_id"]))
                _record_dashboard(chromium, folder)


async def _play(performance: show.Show, recording: moving_picture.Recording) -> None:
    async with anyio.create_task_group() as group:
        group.start_soon(_watch, performance, recording)
        await performance.perform()
        group.cancel_scope.cancel()


async def _watch(performance: show.Show, recording: moving_picture.Recording) -> None:
    while True:
        recording.keep(time.monotonic() - performance.screen.began, performance.screen)
        await anyio.sleep(FRAME_S)


def _record_end(performance: show.Show, recording: moving_picture.Recording) -> None:
    console.out = console.Console(
        record=True, width=lanes.WIDTH, file=io.StringIO(), force_terminal=True, highlight=False, markup=False
    )
    console.out.print(performance.screen)
    demo.show_end(performance)
    recording.keep_console(time.monotonic() - performance.screen.began, console.out)
    (DOCS / "demo.svg").write_text(recording.svg(), encoding="utf-8")
    text = "\n".join(line.rstrip() for line in console.out.export_text().splitlines())
    (DOCS / "demo.txt").write_text(text + "\n", encoding="utf-8")


def _record_page(chromium: browser.Browser, folder: Path, run: str) -> None:
    path = folder / "run.html"
    command = [sys.executable, "-m", "dispatch_mcp", "trace", run, "--html", str(path)]
    subprocess.run(command, cwd=folder, env=_environment(folder), check=True, capture_output=True)
    page = chromium.page()
    page.goto(path.as_uri())
    page.drawn()
    _keep(page, "run")
    page.media(scheme="dark")
    page.run(FIND_A_TASK)
    page.run("document.querySelector('#council').scrollIntoView()")
    _keep(page, "run-council")


def _record_dashboard(chromium: browser.Browser, folder: Path) -> None:
    with _served(folder) as (url, token):
        page = chromium.page()
        page.goto(url)
        page.until("document.querySelector('#token')")
        page.run(ENTER % token)
        page.until("document.querySelectorAll('#gate tbody tr').length >= 2")
        _keep(page, "dashboard")


@contextmanager
def _served(folder: Path) -> Generator[tuple[str, str]]:
    """Yields the address of a server over HTTP, and its first token."""
    command = [sys.executable, "-m", "dispatch_mcp", "serve", "--http", "0"]
    environment = _environment(folder)
    server = subprocess.Popen(command, cwd=folder, env=environment, stderr=subprocess.PIPE, text=True)
    try:
        assert server.stderr
        lines = [server.stderr.readline() for _ in range(4)]
        yield re.findall(r"(http://[\d.:]+)/mcp", lines[0])[0], lines[-1].strip()
    finally:
        server.terminate()
        server.communicate()


def _environment(folder: Path) -> dict[str, str]:
    return {**os.environ, "DISPATCH_MCP_HOME": str(folder / "state"), "DISPATCH_MCP_WORKSPACE": str(folder / "shop")}


def _keep(page: browser.Page, name: str) -> None:
    answer = page.call("Page.captureScreenshot", format="webp", quality=QUALITY)
    (DOCS / "pictures" / f"{name}.webp").write_bytes(base64.b64decode(answer["data"]))


if __name__ == "__main__":
    main()
