"""Plays the demo and records its end as docs/demo.svg and docs/demo.txt, which the README shows."""

from __future__ import annotations

import io
import sys
from pathlib import Path

from dispatch_mcp.cli import console
from dispatch_mcp.cli.commands import demo
from dispatch_mcp.cli.demo import lanes

DOCS = Path(__file__).resolve().parents[1] / "docs"


def main() -> None:
    """Plays and writes both files."""
    sys.argv[0] = "dispatch-mcp"  # what whoever watches types
    performance = demo.play()
    console.out = console.Console(
        record=True, width=lanes.WIDTH, file=io.StringIO(), force_terminal=True, highlight=False, markup=False
    )
    console.out.print(performance.screen)
    demo.show_end(performance)
    (DOCS / "demo.svg").write_text(console.out.export_svg(title="make demo", clear=False), encoding="utf-8")
    text = "\n".join(line.rstrip() for line in console.out.export_text().splitlines())
    (DOCS / "demo.txt").write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
