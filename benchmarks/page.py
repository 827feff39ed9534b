"""How long the page of a run takes until graph and timeline are drawn, in a headless Chromium: `make bench-page`.

The figure is the page's own: from the data to the last node and bar, the layout of which follows. Fails when the
median of 500 tasks is above its bound; larger runs are told, not judged.
"""

from __future__ import annotations

import statistics
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests" / "support"))
import browser
import picture_samples

from dispatch_mcp.pages import run_page

ROUNDS = 9
BOUND_MS = 300.0
SIZES = (50, 500, 2_000, 10_000)


def drawn_ms(program: browser.Browser, path: Path) -> float:
    """Returns the milliseconds of one visit."""
    page = program.page()
    page.goto(path.as_uri())
    page.drawn()
    return float(page.run("Number(document.body.dataset.drawn)"))


def main() -> int:
    """Prints a line for each size; returns 1 when 500 tasks take too long."""
    if browser.PROGRAM is None:
        print(f"left out: {browser.WHY_NOT}")
        return 0
    print(
        f"page without data: {len(run_page.html(None)):,} bytes, of the dashboard {len(run_page.html(None, 'live')):,}"
    )
    medians: dict[int, float] = {}
    with (
        tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder,
        browser.opened(Path(folder) / "c") as program,
    ):
        for size in SIZES:
            path = Path(folder) / f"{size}.html"
            path.write_text(run_page.html(picture_samples.document(size)), encoding="utf-8")
            times = [drawn_ms(program, path) for _ in range(ROUNDS)]
            medians[size] = statistics.median(times)
            print(f"{size:>6} tasks: {medians[size]:6.0f} ms in the median, {max(times):6.0f} at most")
    return int(medians[500] > BOUND_MS)


if __name__ == "__main__":
    sys.exit(main())
