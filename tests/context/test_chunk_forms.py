"""Every form in which a definition may be written, language by language."""

from __future__ import annotations

import pytest

from dispatch_mcp.context import chunks

FORMS = [
    ("a.py", "async def load(url):\n    return url\n", "load"),
    ("a.py", "class Cart(Base):\n    size = 1\n", "Cart"),
    ("a.js", "export default async function* main(first) {\n  yield 1\n}\n", "main"),
    ("a.js", "function main() {\n  return 1\n}\n", "main"),
    ("a.ts", "export abstract class Router<T> {\n  one = 1\n}\n", "Router"),
    ("a.ts", "declare namespace api.v1 {\n  const one: number\n}\n", "api.v1"),
    ("a.ts", "export enum Kind {\n  One,\n}\n", "Kind"),
    ("a.ts", "export type Options = {\n  strict: boolean\n}\n", "Options"),
    ("a.ts", "export const join = async (one: string): Promise<string> => {\n  return one\n}\n", "join"),
    ("a.js", "let one = first => {\n  return first\n}\n", "one"),
    ("a.js", "var run = function () {\n  return 1\n}\n", "run"),
    ("a.js", "Reply.prototype.send = function (text) {\n  return text\n}\n", "Reply.prototype.send"),
    ("a.js", "module.exports.load = (path) => {\n  return path\n}\n", "module.exports.load"),
    ("a.js", "const routes = {\n  list: async function (page) {\n    return page\n  }\n}\n", "list"),
    ("a.ts", "class A {\n  static of<T>(path: string): A {\n    return new A()\n  }\n}\n", "A.of"),
    ("a.js", "class A {\n  get #size() {\n    return 1\n  }\n}\n", "A.#size"),
    ("a.go", "func New() *Server {\n\treturn nil\n}\n", "New"),
    ("a.go", "func (s *Server) Serve(w Writer) {\n\treturn\n}\n", "Server.Serve"),
    ("a.go", "func (Server) Close() {\n\treturn\n}\n", "Server.Close"),
    ("a.go", "type Handler interface {\n\tServe()\n}\n", "Handler"),
    ("a.rs", "pub(crate) async unsafe fn run() {\n    one()\n}\n", "run"),
    ("a.rs", 'pub extern "C" fn call() {\n    one()\n}\n', "call"),
    ("a.rs", "pub trait Walk {\n    fn step(&self);\n}\n", "Walk.step"),
    (
        "a.rs",
        "impl<T> fmt::Display for &'a mut Walker<T> {\n    fn fmt(&self) {\n    }\n}\n",
        "Walker.fmt",
    ),
    ("a.rs", "macro_rules! square {\n    () => {};\n}\n", "square"),
    (
        "A.java",
        "class A {\n    @Override\n    List<Order> find(String name) {\n    }\n}\n",
        "A.find",
    ),
    ("A.java", "public record Point(int x) {\n    int twice() {\n        return 2;\n    }\n}\n", "Point.twice"),
    ("a.kt", "data class Cart(val size: Int) {\n    fun total(): Int {\n        return 1\n    }\n}\n", "Cart.total"),
    ("a.kt", "suspend fun <T> load(url: String): T {\n    return one\n}\n", "load"),
    (
        "a.cs",
        "public sealed class Cart\n{\n    public async Task<int> Total(int x)\n    {\n    }\n}\n",
        "Cart.Total",
    ),
    ("a.swift", "extension Cart {\n    mutating func add(item: Item) {\n        one()\n    }\n}\n", "Cart.add"),
    ("a.scala", "object Cart {\n  implicit def total(tax: Int): Int = {\n    1\n  }\n}\n", "Cart.total"),
    ("a.c", "struct point {\n  int x;\n};\n", "point"),
    ("a.c", "static int add(int a, int b)\n{\n  return a + b;\n}\n", "add"),
    ("a.cpp", "template <typename T>\nT Cart::total(T tax) {\n  return tax;\n}\n", "Cart::total"),
    ("a.rb", "module Shop\n  def self.empty?\n    true\n  end\nend\n", "Shop.empty?"),
    (
        "a.php",
        "<?php\nabstract class Cart {\n    static function &total($tax) {\n    }\n}\n",
        "Cart.total",
    ),
    ("a.php", "<?php\ninterface Payable {\n    public function pay();\n}\n", "Payable.pay"),
    ("a.sh", "function clean_up {\n  rm -r out\n}\n", "clean_up"),
    ("a.sh", "build() {\n  make\n}\n", "build"),
    ("a.sql", "CREATE UNIQUE INDEX IF NOT EXISTS by_name ON users (name);\n", "by_name"),
    ("a.sql", "create or replace view shop.totals as select 1;\n", "shop.totals"),
    ("a.md", "Words before it.\n\n## Install it\n\nWith pip.\n", "Install it"),
    ("a.rst", "Words before it.\n\nInstall it\n==========\n\nWith pip.\n", "Install it"),
]


@pytest.mark.parametrize(("path", "text", "name"), FORMS, ids=[f"{path}-{name}" for path, _, name in FORMS])
def test_a_definition_is_found_by_its_name_in_every_form(path: str, text: str, name: str) -> None:
    assert name in {chunk.name for chunk in chunks.split(text, path)}


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("a.js", "if (one) {\n  two()\n}\nfor (const a of b) {\n  three()\n}\nwhile (true) {\n  four()\n}\n"),
        ("a.c", "int add(int a, int b);\n"),
        ("a.sh", "if true; then\n  echo one\nfi\n"),
        ("a.txt", "def load(): no language\n"),
        ("a.py", "defer = 1\nclassic = 2\n"),
    ],
)
def test_what_only_looks_like_a_definition_is_none(path: str, text: str) -> None:
    assert {chunk.kind for chunk in chunks.split(text, path)} <= {"module", "text"}


@pytest.mark.parametrize(
    ("text", "last"),
    [
        ("function one() {\n  if (a) {\n    b()\n  }\n  else {\n    c()\n  }\n}\n\ntwo()\n", 8),
        ("function one() {\n  try {\n    b()\n  } catch (e) {\n    c()\n  }\n}\ntwo()\n", 7),
        ("const one = () => {\n  return 1\n}\n\nconst x = 2\n", 3),
        ("function one() {\n  b()\n// a comment at the left\n  c()\n}\ntwo()\n", 5),
    ],
)
def test_a_definition_in_braces_ends_at_its_own_brace(text: str, last: int) -> None:
    (chunk,) = (chunk for chunk in chunks.split(text, "a.js") if chunk.name == "one")
    assert (chunk.first, chunk.last) == (1, last)


def test_comments_and_decorators_belong_to_what_stands_below_them() -> None:
    text = "LIMIT = 1\n\n# Why it is so.\n@cached\n@wraps\ndef load():\n    return 1\n"
    (chunk,) = (chunk for chunk in chunks.split(text, "a.py") if chunk.name == "load")
    assert (chunk.first, chunk.last) == (3, 7)


def test_a_part_of_a_module_is_named_by_the_constants_in_it() -> None:
    (chunk,) = chunks.split("import os\n\nLIMIT: int = 3\nSIZE = 4\nif SIZE == 5:\n    pass\n", "a.py")
    assert (chunk.kind, chunk.name) == ("module", "LIMIT SIZE")


@pytest.mark.parametrize("text", ["", "\n\n\n", "{}\n[]\n", "  \t"])
def test_a_file_without_words_has_no_parts(text: str) -> None:
    assert chunks.split(text, "a.py") == []
