from __future__ import annotations

import html.parser
import re
import unicodedata

import markdown_it
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dispatch_mcp.text import escape

MARKDOWN = markdown_it.MarkdownIt("commonmark", {"html": True}).enable(["table", "strikethrough"])
ENDINGS = ['"]', "`", "end", "]]", "))", "}}", "-->", "|", ";", "%%", "#quot;", "&quot;", "\\", "\n"]
PAYLOADS = [
    '<img src=x onerror="alert(1)">',
    "<script>alert(1)</script>",
    "javascript:alert(1)",
    "[x](javascript:alert(1))",
    "![x](http://evil.example/p.png)",
    "click A href 'http://evil.example'",
    "\x1b[31mred\x1b[0m",
    "\x1b]0;title\x07text",
    "\x1b]8;;http://evil.example\x1b\\link\x1b]8;;\x1b\\",
    "\x9b2Jgone",
    "\x1bcreset",
    "over\rwrite",
    "a\u202egpj.exe",
    "ze\u200bro\u200dwidth\ufeff",
    "\U000e0069\U000e0067tags",
    "1. list",
    "- list",
    "# heading",
    "> quote",
    "    code",
    "***bold***",
    "__init__.py",
    "| cell | cell |",
    "www.evil.example",
    "https://evil.example/a?b=c&d=e",
    "\ud800 lone",
    "\x00\x07\x08",
    "a\u2028b",
    "---",
    "~~~",
    "```python",
    "<!-- comment -->",
    "&lt;b&gt;",
    "日本語 ラベル",
    "🙂 emoji",
    'subgraph x["y"]',
]
NASTY = [*PAYLOADS, *(payload + ending for payload in PAYLOADS for ending in ENDINGS[:3])]


class Reader(html.parser.HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.text = ""

    def handle_starttag(self, tag: str, attrs: object) -> None:
        self.tags.append(tag)

    def handle_comment(self, data: str) -> None:
        self.tags.append("!--")

    def handle_data(self, data: str) -> None:
        self.text += data


def words(text: str) -> str:
    return " ".join(text.split())


def test_there_are_at_least_a_hundred_nasty_labels() -> None:
    assert len(set(NASTY)) >= 100


@pytest.mark.promise("S12")
@pytest.mark.parametrize("text", NASTY)
def test_terminal_text_holds_only_what_can_be_seen(text: str) -> None:
    shown = escape.terminal(text)
    assert all(unicodedata.category(char) not in {"Cc", "Cf", "Cs"} or char in "\n\t" for char in shown)
    assert shown.encode() is not None


def test_escape_sequences_disappear_whole() -> None:
    assert escape.terminal("\x1b[1;31mred\x1b[0m \x1b]0;title\x07text \x1b]8;;http://x\x1b\\link\x1b]8;;\x1b\\") == (
        "red text link"
    )


def test_an_unfinished_escape_sequence_does_not_swallow_the_text_after_it() -> None:
    assert escape.terminal("\x1b]0;title without an end\nnext") == "0;title without an end\nnext"


def test_a_sequence_split_by_a_zero_width_character_is_still_removed() -> None:
    assert escape.terminal("\x1b\u200b[31mred") == "red"


@given(st.text())
def test_terminal_is_idempotent_and_keeps_plain_text(text: str) -> None:
    once = escape.terminal(text)
    assert escape.terminal(once) == once
    plain = "".join(char for char in text if char.isascii() and char.isprintable())
    assert escape.terminal(plain) == plain


@pytest.mark.promise("S12")
@pytest.mark.parametrize("text", NASTY)
def test_html_text_makes_no_element_and_reads_back(text: str) -> None:
    reader = Reader()
    reader.feed(f'<p title="{escape.html(text)}">{escape.html(text)}</p>')
    reader.close()
    assert reader.tags == ["p"]
    assert reader.text == escape.terminal(text)


def mermaid_reads(label: str) -> str:
    """The text that Mermaid shows: it turns `#NNN;` into a character reference after it has parsed the diagram."""
    return re.sub(r"#(\d+);", lambda found: chr(int(found[1])), label)


@pytest.mark.promise("S12")
@pytest.mark.parametrize("text", NASTY)
def test_a_mermaid_label_holds_nothing_that_mermaid_could_take_for_syntax(text: str) -> None:
    label = escape.mermaid_label(text, limit=None)
    assert not re.search(r'["`<>\[\](){}|&%\\*\n]', label)
    assert not re.search(r"#(?!\d+;)", label)
    assert not re.match(r"\d+[.)]|[-+]", label)
    assert mermaid_reads(label) == words(escape.terminal(text))


@given(st.text())
def test_any_mermaid_label_reads_back(text: str) -> None:
    assert mermaid_reads(escape.mermaid_label(text, limit=None)) == words(escape.terminal(text))


def test_a_mermaid_label_keeps_file_names_and_identifiers_readable() -> None:
    assert escape.mermaid_label("src/core-api/user_model.py, line 4") == "src/core-api/user_model.py, line 4"


def test_a_mermaid_label_is_cut_before_it_is_encoded() -> None:
    assert escape.mermaid_label("(" * 100, limit=3) == "#40;#40;#8230;"


@pytest.mark.promise("S12")
@pytest.mark.parametrize("text", NASTY)
@pytest.mark.parametrize("frame", ["{}", "# {}", "- {}", "before {} after"])
def test_markdown_text_stays_one_line_of_words(text: str, frame: str) -> None:
    inline = [token for token in MARKDOWN.parse(frame.format(escape.markdown(text))) if token.type == "inline"]
    assert len(inline) <= 1
    for token in inline:
        assert {child.type for child in token.children or ()} <= {"text"}
        expected = words(frame.lstrip("#- ").format(words(escape.terminal(text))))
        assert words("".join(child.content for child in token.children or ())) == expected


def test_markdown_cells_cannot_open_another_cell() -> None:
    table = f"| a | b |\n|---|---|\n| {escape.markdown('x | y')} | z |\n"
    assert MARKDOWN.render(table).count("<td>") == 2


@pytest.mark.parametrize(
    ("text", "limit", "line"),
    [
        ("short", 5, "short"),
        ("longer", 5, "long…"),
        ("ab  cd", 4, "ab…"),
        ("a\tb\r\nc", None, "a b c"),
        ("  around  ", None, "around"),
        ("", 3, ""),
        ("anything", 1, "…"),
        ("a\u2028b", 3, "a b"),
        ("\x1b[31mred\x1b[0m", 3, "red"),
    ],
)
def test_a_line_is_cut_where_it_would_be_too_long(text: str, limit: int | None, line: str) -> None:
    assert escape.one_line(text, limit=limit) == line


@given(st.text(), st.integers(1, 20))
def test_a_cut_line_is_never_longer_than_its_limit_and_begins_as_the_whole_line_does(text: str, limit: int) -> None:
    whole, line = escape.one_line(text), escape.one_line(text, limit=limit)
    assert len(line) <= limit
    assert whole.startswith(line.removesuffix("…"))
    assert (line == whole) or (line.endswith("…") and len(whole) > limit)


def test_a_mermaid_label_has_sixty_characters_unless_told_otherwise() -> None:
    assert mermaid_reads(escape.mermaid_label("x" * 60)) == "x" * 60
    assert mermaid_reads(escape.mermaid_label("x" * 61)) == "x" * 59 + "…"


@pytest.mark.parametrize("quote", ['"', "'"])
def test_html_text_cannot_leave_an_attribute_in_either_quotes(quote: str) -> None:
    assert quote not in escape.html(f"x{quote} onclick=alert(1) y={quote}")


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("1. first", "1\\. first"),
        ("12) twelfth", "12\\) twelfth"),
        ("- item", "\\- item"),
        ("=====", "\\====="),
        ("a-b = c.d", "a-b = c.d"),
        ("see https://x.example", "see https\\://x.example"),
        ("snake_case", "snake\\_case"),
        ("a & b < c", "a &amp; b &lt; c"),
        ("plain words, with (signs): yes?", "plain words, with (signs): yes?"),
    ],
)
def test_markdown_escapes_what_would_mean_something_and_nothing_else(text: str, shown: str) -> None:
    assert escape.markdown(text) == shown


@pytest.mark.parametrize("payload", NASTY)
def test_what_is_made_encodable_changes_only_where_it_could_not_be_encoded(payload: str) -> None:
    text = escape.encodable(payload)
    assert text.encode("utf-8")
    assert text == "".join("?" if "\ud800" <= char <= "\udfff" else char for char in payload)
