"""Packs the bundle for Claude Desktop: dist/dispatch-mcp-VERSION.mcpb, or a file that the first argument names."""

from __future__ import annotations

import json
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
FOLDERS = ("server", "prompts", "agents", "knowledgebase")
FILES = ("pyproject.toml", "README.md", "LICENSE")
CACHES = frozenset({"__pycache__"})


def members() -> Iterator[tuple[str, Path]]:
    """Yields the name of each file in the bundle and where it comes from; tests are not among them."""
    yield "manifest.json", ROOT / "mcpb" / "manifest.json"
    yield "icon.png", ROOT / ".claude-plugin" / "icon.png"
    yield from ((name, ROOT / name) for name in FILES)
    for folder in FOLDERS:
        for path in sorted((ROOT / folder).rglob("*")):
            if path.is_file() and not CACHES & set(path.parts) and path.suffix != ".pyc":
                yield path.relative_to(ROOT).as_posix(), path


def pack(target: Path) -> Path:
    """Writes the bundle and returns its path; the same files make the same bytes."""
    target.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as bundle:
        for name, path in members():
            entry = zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0))
            entry.external_attr = 0o644 << 16
            bundle.writestr(entry, path.read_bytes(), zipfile.ZIP_DEFLATED)
    return target


def main() -> int:
    """Packs, and prints where."""
    version = json.loads((ROOT / "mcpb" / "manifest.json").read_text(encoding="utf-8"))["version"]
    target = Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT / "dist" / f"dispatch-mcp-{version}.mcpb"
    print(pack(target))
    return 0


if __name__ == "__main__":
    sys.exit(main())
