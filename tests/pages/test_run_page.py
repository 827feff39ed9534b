"""The document that a page is: its size, its policy, and data that stays data."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from html.parser import HTMLParser
from typing import Any

import hypothesis
import picture_samples
import pytest
from hypothesis import strategies

from dispatch_mcp.pages import run_page

SOURCES = tuple(run_page.MORE)
MOST_BYTES = 60_000
READ_AS_MARKUP = ("innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval(", "new Function", "srcdoc")
JSON_VALUES = strategies.recursive(
    strategies.none() | strategies.booleans() | strategies.integers() | strategies.text(),
    lambda inner: strategies.lists(inner, max_size=4) | strategies.dictionaries(strategies.text(), inner, max_size=4),
    max_leaves=12,
)


class Elements(HTMLParser):
    """The elements of a document as a parser finds them, with the text of those that are raw."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.texts: dict[str, str] = {}
        self._open = ""
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))
        if tag in ("script", "style"):
            self._open = f"{tag} {dict(attrs).get('type', '')}".strip()

    def handle_endtag(self, tag: str) -> None:
        self._open = ""

    def handle_data(self, data: str) -> None:
        if self._open:
            self.texts[self._open] = self.texts.get(self._open, "") + data


def digest(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


@pytest.mark.parametrize("source", SOURCES)
def test_a_page_without_data_is_small(source: run_page.Source) -> None:
    assert len(run_page.html(None, source).encode()) <= MOST_BYTES


@pytest.mark.parametrize("source", SOURCES)
def test_the_policy_allows_the_style_and_the_script_that_the_page_carries_and_nothing_else(
    source: run_page.Source,
) -> None:
    page = Elements(run_page.html(None, source))
    (policy,) = [
        attributes["content"] for tag, attributes in page.found if "http-equiv" in attributes and tag == "meta"
    ]
    rules = dict(rule.strip().split(" ", 1) for rule in (policy or "").split(";"))
    assert rules.pop("default-src") == "'none'"
    assert rules.pop("script-src") == digest(page.texts["script"])
    assert rules.pop("style-src") == digest(page.texts["style"])
    assert rules.pop("connect-src", "'self'") == "'self'"
    assert set(rules.items()) == {("base-uri", "'none'"), ("form-action", "'none'")}


@pytest.mark.parametrize("source", SOURCES)
def test_a_page_names_no_address_and_no_file(source: run_page.Source) -> None:
    text = run_page.html(None, source).replace("http://www.w3.org/2000/svg", "")
    assert re.findall(r"https?://\S+|url\(|@import", text) == []
    assert [
        tag for tag, attributes in Elements(text).found if {"src", "srcset"} & attributes.keys() or tag == "link"
    ] == []


@pytest.mark.parametrize("source", SOURCES)
def test_the_script_never_reads_text_as_markup_or_code(source: run_page.Source) -> None:
    script = run_page.parts(source).script
    assert [word for word in READ_AS_MARKUP if word in script] == []


@hypothesis.settings(max_examples=30)
@hypothesis.given(JSON_VALUES)
def test_any_data_comes_back_as_it_went_in_and_opens_no_element(value: Any) -> None:
    page = Elements(run_page.html(value))
    assert json.loads(page.texts["script application/json"]) == value
    assert [tag for tag, _ in page.found].count("script") == 2


@pytest.mark.parametrize("text", ["</script><script>", "<!--", "]]>", "\u2028", "\u2029", "&lt;", "\ud800", "\x00"])
def test_data_holds_no_character_that_html_or_a_script_reads(text: str) -> None:
    data = run_page.as_data({text: [text]})
    assert data.isascii()
    assert not set("<>&") & set(data)
    assert json.loads(data) == {text: [text]}


def test_a_title_is_text_too() -> None:
    page = Elements(run_page.html(None, title="</title><script>alert(1)</script>"))
    assert [tag for tag, _ in page.found].count("script") == 2


@pytest.mark.parametrize(
    ("line", "squeezed"),
    [
        ("const a = b => c + -1;", "const a=b=>c + -1;"),
        ('say("a = b, c", x === y);', 'say("a = b, c",x===y);'),
        ("tell(`a = ${ b }`, c);", "tell(`a = ${ b }`,c);"),
        ("tell(`a = ${b ? `c , ${d}` : e}`, f);", "tell(`a = ${b ? `c , ${d}` : e}`, f);"),
        ("a.map((b) => b).map((c, d) => c); e += 1; async (f) => f;", "a.map(b=>b).map((c,d)=>c);e+=1;async(f)=>f;"),
        ("if (a && b) { c(); } else { d(); }", "if(a&&b){c();}else{d();}"),
    ],
)
def test_blanks_go_where_they_mean_nothing(line: str, squeezed: str) -> None:
    assert run_page.squeezed(line) == squeezed


def test_declarations_that_follow_each_other_are_one() -> None:
    lines = [
        "const a=1;",
        "const [b,c]=d;",
        "let e=2;",
        "const f=()=>{",
        "let g=3;",
        "h();}",
        "const i=1;j();",
        "const k=1;",
        "const l=()=>{m();};",
    ]
    assert run_page.joined(lines) == ["const a=1,[b,c]=d;", *lines[2:7], "const k=1,l=()=>{m();};"]


def test_no_text_of_ours_holds_what_is_cut_at_the_end_of_blocks() -> None:
    for path in run_page.ASSETS.iterdir():
        assert [text for text in re.findall(r"\"[^\"]*\"|`[^`]*`", path.read_text("utf-8")) if ";}" in text] == []


def test_no_line_of_a_script_has_a_quote_that_squeezing_would_mistake() -> None:
    for names in (run_page.SCRIPTS, *run_page.MORE.values()):
        for name in names:
            for line in (run_page.ASSETS / name).read_text("utf-8").splitlines():
                if not line.strip().startswith("//"):
                    assert line.count('"') % 2 == 0, (name, line)
                    assert '\\"' not in line, (name, line)


def test_a_page_of_ten_thousand_tasks_stays_below_ten_megabytes() -> None:
    assert len(run_page.html(picture_samples.document(10_000, over=True))) < 10_000_000
