"""Which other files a file names in its imports, as ends of paths without extension."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator

from dispatch_mcp.text import languages

MOST = 60
"""Imports of one file that are kept."""

# from ..store import (a, b), from x import y, import a.b, c
_PYTHON = re.compile(
    r"\n[ \t]*+(?:from[ ]++(\.*+)([\w.]*+)[ ]++import[ ]++(?:\(([^()]*+)\)|([^\n#(]*+))|import[ ]++([\w., ]++))"
)
# import { x } from "./x", require("../y"), import("pkg/z"); a bare package name is no file of the workspace
_SCRIPT = re.compile(r"""(?:from|require\(|import\(?)\s*['"](\.{1,2}/[^'"\n]++|[^'"\n.][^'"\n/]*+/[^'"\n]++)['"]""")
_GO = re.compile(r'^[ \t]*+(?:import[ ]++)?(?:[\w.]++[ ]++)?"([\w./-]++)"[ \t]*+$', re.MULTILINE)
# use crate::walk::filter, pub mod exec;
_RUST = re.compile(
    r"^[ \t]*(?:pub(?:\([^)]*\))?[ ]+)?(?:use[ ]+(?:crate|super|self)::([\w:]+)|mod[ ]+(\w+);)", re.MULTILINE
)
_INCLUDE = re.compile(r'^[ \t]*#[ \t]*include[ \t]*"([^"\n]+)"', re.MULTILINE)
# import static shop.Cart.total, using Shop.Cart, use Shop\\Cart, require_relative 'shop/cart'
_DOTTED = re.compile(
    r"^[ \t]*(?:import|using|use|require_relative|require)[ ]+(?:static[ ]+)?['\"]?([\w.\\/]+)", re.MULTILINE
)


def of(text: str, path: str) -> tuple[str, ...]:
    """Returns ends of the paths that `text`, the file `path`, imports, such as `pkg/module`; no extension."""
    kind = languages.language(path)
    if kind == "python":
        names = _python(text, path)
    elif kind == "script":
        names = _script(text, path)
    elif kind == "go":
        names = (f"{name}/" for name in _GO.findall(text) if "/" in name[1:-1])
    elif kind == "rust":
        names = ((use or module).replace("::", "/").removesuffix("/") for use, module in _RUST.findall(text))
    elif kind == "c":
        names = (posixpath.splitext(name)[0] for name in _INCLUDE.findall(text))
    elif kind in {"typed", "php", "ruby"}:
        names = (re.sub(r"[.\\]", "/", name) for name in _DOTTED.findall(text))
    else:
        return ()
    return tuple(dict.fromkeys(name for name in names if name))[:MOST]


def _python(text: str, path: str) -> Iterator[str]:
    for dots, module, many, few, plain in _PYTHON.findall("\n" + text):
        if plain:
            yield from (name.split(" as ")[0].strip().replace(".", "/") for name in plain.split(","))
            continue
        base = module.replace(".", "/")
        if dots:
            folder = posixpath.dirname(path)
            for _ in range(len(dots) - 1):
                folder = posixpath.dirname(folder)
            base = posixpath.join(folder, base) if base else folder
        yield base
        yield from (f"{base}/{name}" for name in re.findall(r"\w+", many or few)[:20] if name != "as")


def _script(text: str, path: str) -> Iterator[str]:
    folder = posixpath.dirname(path)
    for name in _SCRIPT.findall(text):
        whole = posixpath.normpath(posixpath.join(folder, name)) if name.startswith(".") else name
        stem, extension = posixpath.splitext(whole)
        yield stem if extension in {".js", ".ts", ".jsx", ".tsx", ".mjs", ".cjs", ".vue", ".svelte", ".mts"} else whole
