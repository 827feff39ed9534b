from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dispatch_mcp.context import chunks, import_graph
from dispatch_mcp.text import languages

PYTHON = '''\
"""Doc."""
import os

LIMIT = 3


@wraps
# why
async def fetch(
    url,
):
    """Text."""
    def inner():
        return 1

    return inner


class Pool:
    """Holds."""

    size = 1

    def take(self):
        return self.size

    class Slot:
        def free(self): ...


def last(): return 1
'''
GO = """\
package web

// Serve answers.
func (s *Server) Serve(w Writer,
\tr Request) error {
\tif r.Bad {
\t\treturn nil
\t} else {
\t\treturn s.err
\t}
}

type Server struct {
\terr error
}

func New() *Server { return &Server{} }
"""
TYPESCRIPT = """\
import { a } from './a'

export const join = async (one: string, two: string): Promise<string> => {
  return one + two
}

export class Router<T> extends Base {
  private routes: T[] = []

  add(path: string, handler: T) {
    if (path) {
      this.routes.push(handler)
    }
  }

  static of<T>(): Router<T> {
    return new Router()
  }
}

export interface Options {
  strict?: boolean
}

export default function main() {
  return join('a', 'b')
}
"""
RUST = """\
use std::fmt;

/// Walks.
pub struct Walker<'a> {
    root: &'a Path,
}

impl<'a> fmt::Display for Walker<'a> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "x")
    }
}

pub(crate) async fn run<T>(
    walker: T,
) -> Result<()>
where
    T: Into<Walker>,
{
    Ok(())
}

#[cfg(test)]
mod tests {
    #[test]
    fn it_runs() {
        run();
    }
}
"""
JAVA = """\
package shop;

public class Orders extends Base {
    private final int limit = 3;

    @Override
    public List<Order> find(String name, int most) throws IOException {
        return null;
    }
}
"""
RUBY = "class Cart\n  def total(tax)\n    if tax\n      1\n    end\n  end\n\n  def self.empty\n    new\n  end\nend\n"
C = """\
#include "x.h"

struct point {
  int x;
};

static int
add(int a, int b)
{
  return a + b;
}

int twice(int a) {
  return 2 * a;
}
"""
SHELL = "set -e\n\nbuild() {\n  make\n}\n\nfunction clean {\n  rm -r out\n}\n"
SQL = "CREATE TABLE users (\n  id int\n);\n\ncreate or replace function total() returns int as $$\n  select 1\n$$;\n"
MARKDOWN = "# Title\n\nIntroduction.\n\n## Install\n\n" + "Long text. " * 80 + "\n\n## Use\n\nShort.\n"


def names(text: str, path: str) -> list[tuple[str, str, int, int]]:
    return [(one.kind, one.name, one.first, one.last) for one in chunks.divide(text, path)]


def test_python_is_cut_into_functions_class_heads_and_the_rest() -> None:
    assert names(PYTHON, "a.py") == [
        ("module", "LIMIT", 1, 4),
        ("function", "fetch", 7, 16),
        ("class", "Pool", 19, 22),
        ("function", "Pool.take", 24, 25),
        ("class", "Pool.Slot", 27, 27),
        ("function", "Pool.Slot.free", 28, 28),
        ("function", "last", 31, 31),
    ]


@pytest.mark.parametrize(
    ("text", "path", "expected"),
    [
        (GO, "a.go", {"Server.Serve": (3, 11), "Server": (13, 15), "New": (17, 17)}),
        (
            TYPESCRIPT,
            "a.ts",
            {"join": (3, 5), "Router.add": (10, 14), "Router.of": (16, 18), "Options": (21, 23), "main": (25, 27)},
        ),
        (RUST, "a.rs", {"Walker.fmt": (9, 11), "run": (14, 21)}),
        (JAVA, "A.java", {"Orders.find": (6, 9)}),
        (RUBY, "a.rb", {"Cart.total": (2, 6), "Cart.empty": (8, 10)}),
        (C, "a.c", {"twice": (13, 15)}),
        (SHELL, "a.sh", {"build": (3, 5), "clean": (7, 9)}),
        (SQL, "a.sql", {"users": (1, 3), "total": (5, 7)}),
    ],
    ids=["go", "typescript", "rust", "java", "ruby", "c", "shell", "sql"],
)
def test_definitions_of_other_languages_are_found_with_their_lines(
    text: str, path: str, expected: dict[str, tuple[int, int]]
) -> None:
    found = {name: (first, last) for _, name, first, last in names(text, path)}
    assert {name: found.get(name) for name in expected} == expected


def test_tests_inside_a_rust_module_are_marked() -> None:
    assert ("test", "tests.it_runs", 23, 28) in names(RUST, "a.rs")


def headings(text: str, path: str) -> list[str]:
    return [part.name for part in chunks.divide(text, path)]


def test_short_sections_of_a_document_stay_with_the_next() -> None:
    assert [name for _, name, _, _ in names(MARKDOWN, "a.md")] == ["Title / Install", "Use"]


def test_short_sections_that_stay_together_are_found_by_each_of_their_headings() -> None:
    others = "- a shop of another kind\n" * 40
    text = f"# Shop\n\nSells.\n\n## Related projects\n\n{others}\n## Licence\n\nFree.\n"
    assert headings(text, "README.md") == ["Shop / Related projects", "Licence"]


@pytest.mark.parametrize("fence", ["```", "~~~~", "   ```"])
def test_a_comment_in_a_block_of_code_of_a_document_is_no_heading(fence: str) -> None:
    code = "\n".join([f"{fence}sh", *["make install"] * 60, "# then", "make check", fence])
    assert headings(f"# Install\n\n{code}\n\n# Use\n\nRun it.\n", "README.md") == ["Install", "Use"]


def test_a_block_of_code_that_is_never_closed_goes_on_to_the_end_of_a_document() -> None:
    text = "\n".join(["# Install", "```sh", *["make install"] * 60, "# then", "make check"])
    assert headings(text, "README.md") == ["Install"]


def test_a_document_in_asciidoc_is_cut_at_its_headings() -> None:
    body = "It sells things.\n" * 50
    text = f"= Shop\n\n{body}\n== Licence\n\nFree to use.\n"
    assert headings(text, "README.adoc") == ["Shop", "Licence"]


def test_what_is_too_long_is_cut_into_windows_that_hold_every_line() -> None:
    body = "def long():\n" + "".join(f"    step_{at}()\n" for at in range(400))
    found = chunks.divide(body, "a.py")
    assert len(found) == 7
    assert {one.name for one in found} == {"long"}
    assert [(one.first, one.last) for one in found] == [*((at, at + 59) for at in range(1, 361, 60)), (361, 401)]


@given(
    st.lists(st.sampled_from([*PYTHON.split("\n"), *TYPESCRIPT.split("\n"), *RUST.split("\n"), "", "  }", "\t", "é"])),
    st.sampled_from(
        ["a.py", "a.ts", "a.go", "a.rs", "a.java", "a.c", "a.rb", "a.php", "a.sh", "a.sql", "a.md", "a.rst", "a.x"]
    ),
)
def test_parts_are_in_order_do_not_overlap_and_hold_every_line_with_a_word(lines: list[str], path: str) -> None:
    text = "\n".join(lines)
    found = chunks.divide(text, path)
    covered: set[int] = set()
    for one in found:
        span = set(range(one.first, one.last + 1))
        assert not span & covered
        covered |= span
        assert text[one.start : one.end].strip() == "\n".join(lines[one.first - 1 : one.last]).strip()
    assert [one.first for one in found] == sorted(one.first for one in found)
    assert {
        at for at, line in enumerate(lines, 1) if any(a.isalpha() and b.isalpha() for a, b in itertools.pairwise(line))
    } <= covered | _alone(lines)


def _alone(lines: list[str]) -> set[int]:
    """Returns lines that a part may leave out: none that say anything."""
    return {at for at, line in enumerate(lines, 1) if not line.strip(" \t{}()[];,")}


@pytest.mark.parametrize(
    ("path", "role"),
    [
        ("src/app.py", "source"),
        ("tests/test_app.py", "test"),
        ("pkg/app_test.go", "test"),
        ("src/app.spec.ts", "test"),
        ("starlette/testclient.py", "source"),
        ("docs/conf.py", "docs"),
        ("README.md", "docs"),
        ("examples/x.py", "example"),
        ("pyproject.toml", "other"),
        ("src/latest.py", "source"),
    ],
)
def test_a_path_says_what_a_file_is_for(path: str, role: str) -> None:
    assert languages.role(path) == role


@pytest.mark.parametrize(
    ("test", "source"),
    [("tests/test_reply.py", "lib/_reply.py"), ("reply_test.go", "reply.go"), ("src/reply.spec.ts", "src/reply.ts")],
)
def test_a_test_is_about_the_file_of_its_name(test: str, source: str) -> None:
    assert languages.subject(test) == languages.subject(source)


@pytest.mark.parametrize(
    ("text", "path", "found"),
    [
        (
            "from . import a, b\nfrom ..x.y import z\nimport os.path as p\n",
            "pkg/sub/m.py",
            {"pkg/sub/a", "pkg/x/y", "os/path"},
        ),
        ("import { x } from '../lib/reply.js'\nconst y = require('./z')\n", "src/a/m.ts", {"src/lib/reply", "src/a/z"}),
        ("use crate::walk::filter;\nmod exec;\n", "src/main.rs", {"walk/filter", "exec"}),
        ('import (\n\t"example.org/web/binding"\n)\n', "main.go", {"example.org/web/binding/"}),
    ],
)
def test_imports_are_read_as_ends_of_paths(text: str, path: str, found: set[str]) -> None:
    assert found <= set(import_graph.of(text, path))
