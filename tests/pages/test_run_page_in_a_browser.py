"""The page of a run where people meet it: in a browser."""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import browser
import picture_samples
import pytest

from dispatch_mcp.pages import run_page

pytestmark = pytest.mark.skipif(browser.PROGRAM is None, reason=browser.WHY_NOT)

HERE = Path(__file__).resolve().parents[2]
AXE = Path(os.environ.get("DISPATCH_MCP_AXE", HERE / ".axe" / "node_modules" / "axe-core" / "axe.min.js"))
SECTIONS = ["graph", "timeline", "tasks", "cost", "receipts", "council", "messages", "events"]
Show = Callable[..., browser.Page]

NASTY = (
    "<script>alert(1)</script>", "</script><script>alert(1)</script>", "<img src=x onerror=alert(1)>",
    "'><svg/onload=alert(1)>", '"><iframe src=javascript:alert(1)>', "javascript:alert(1)", "<!--<script>alert(1)",
    "--><script>alert(1)</script>", "<![CDATA[<script>alert(1)</script>]]>", "]]><script>alert(1)</script>",
    "<a href=javascript:alert(1)>x</a>", "<body onload=alert(1)>", "<style>@import 'http://evil.example/x'</style>",
    "<link rel=stylesheet href=http://evil.example/x>", "<meta http-equiv=refresh content=0;url=http://evil.example>",
    "<base href=http://evil.example/>", "<form action=http://evil.example><input autofocus onfocus=alert(1)>",
    "<details open ontoggle=alert(1)>", "<video><source onerror=alert(1)>", "<object data=http://evil.example>",
    "<embed src=http://evil.example>", "<math><mtext><script>alert(1)</script>", "<template><script>alert(1)</script>",
    "{{7*7}}", "{% for x in y %}", "${alert(1)}", "`${alert(1)}`", "%3Cscript%3Ealert(1)%3C/script%3E",
    "&lt;script&gt;alert(1)&lt;/script&gt;", "&#60;script&#62;", "\\u003cscript\\u003e", "\u2028alert(1)\u2029",
    "\u202e)1(trela", "\u0007\u001b[31m", "\ud7ff\uffff", "\\", "'", '"', "`", "a" * 3000, "__proto__", "constructor",
    "toString", "hasOwnProperty", "</style><script>alert(1)</script>", "</title><script>alert(1)</script>",
    "<xmp><script>alert(1)</script>", "<noscript><p title='</noscript><img src=x onerror=alert(1)>'>",
    "data:text/html,<script>alert(1)</script>", "<input type=image src=http://evil.example/x onerror=alert(1)>",
)  # fmt: skip
OF_OTHERS = "img, iframe, object, embed, form, base, link, video, [onload], [onerror]"
"""Elements that only markup of somebody else could have made."""

HUNDRED = (*NASTY, *(f"{text} {number}" for number, text in enumerate(NASTY)))


@pytest.fixture
def show(chromium: browser.Browser, tmp_path: Path) -> Show:
    def shown(size: int, *, scheme: str = "light", **how: Any) -> browser.Page:
        path = tmp_path / "run.html"
        path.write_text(run_page.html(picture_samples.document(size, **how), title="A run"), encoding="utf-8")
        page = chromium.page()
        page.media(scheme=scheme)
        page.goto(path.as_uri())
        page.drawn()
        return page

    return shown


def texts(page: browser.Page, selector: str) -> list[str]:
    return page.run(f"[...document.querySelectorAll({selector!r})].map((one) => one.textContent)")


@pytest.mark.parametrize("size", [3, 50, 2_000])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_run_of_any_size_is_laid_out_without_overlap_in_both_schemes(show: Show, size: int, scheme: str) -> None:
    page = show(size, scheme=scheme)
    page.keep_picture(f"page-{size}-{scheme}")
    boxes = "[...document.querySelectorAll('%s')].map((one) => one.getBoundingClientRect())"
    cards = page.run(f"{boxes}.map(({{ top, bottom, left, right }}) => [top, bottom, left, right])" % "main > *")
    assert [above[1] <= below[0] for above, below in itertools.pairwise(cards)] == [True] * (len(SECTIONS) + 1)
    assert {(left >= 0, right <= 1_280) for _, _, left, right in cards} == {(True, True)}
    assert len(texts(page, ".tile")) == 5
    assert 3 <= len(texts(page, "#graph .node")) <= max(60, size if size < 600 else 0)
    dark = page.run("getComputedStyle(document.body).backgroundColor") == "rgb(14, 17, 21)"
    assert dark == (scheme == "dark")
    assert page.faults == []


@pytest.mark.parametrize(("size", "scheme"), [(3, "light"), (50, "dark")])
def test_every_part_of_a_run_is_there_and_nothing_goes_wrong(show: Show, size: int, scheme: str) -> None:
    page = show(size, scheme=scheme)
    assert texts(page, "h1") == ["Add payments to the shop"]
    assert page.run("[...document.querySelectorAll('main > .card')].map((one) => one.id)") == SECTIONS
    assert len(texts(page, "#graph .node")) == size
    assert len(texts(page, "#timeline rect.bar-a")) == len(picture_samples.picture(size).attempts)
    assert "taken over after a crash" in texts(page, "#timeline text")
    assert texts(page, "#council .finding .mono") == ["shop/refund.py:14", "docs/refunds.md:3"]
    assert "14+    payment.refunded += amount" in texts(page, "#council .diff .meant")
    assert page.faults == []


def test_the_head_shows_state_and_spend_against_the_ceilings(show: Show) -> None:
    page = show(50)
    tiles = dict(zip(texts(page, ".tile dt"), texts(page, ".tile dd"), strict=True))
    assert texts(page, "#head .pill") == ["●running"]
    assert "of $60.00" in tiles["Spend"]
    assert "of 40M" in tiles["Tokens"]
    assert "of 50 over" in tiles["Tasks"]
    assert "faster than one by one" in tiles["Time"]


def test_a_large_run_is_drawn_in_layers_and_its_lists_hold_only_what_is_in_sight(show: Show) -> None:
    page = show(2_000)
    assert 3 <= len(texts(page, "#graph .node")) <= 60
    assert page.run("document.querySelectorAll('#tasks .vrow').length") < 60
    assert page.run("document.querySelector('#tasks .vlist').getAttribute('aria-rowcount')") == "2001"
    page.run("document.querySelector('#graph .node').dispatchEvent(new MouseEvent('click', { bubbles: true }))")
    first = page.run("document.querySelector('#tasks .tools').textContent")
    assert "of 2,000 tasks" in first
    assert page.faults == []


def test_ten_thousand_events_scroll(show: Show) -> None:
    page = show(4_500, over=True)
    total = page.run("Number(document.querySelector('#events .vlist').getAttribute('aria-rowcount')) - 1")
    assert total >= 10_000
    page.run("document.querySelector('#events .vlist').scrollTop = 1e9")
    page.until(f"[...document.querySelectorAll('#events .vrow')].some((row) => row.ariaRowIndex == {total + 1})")
    assert page.run("document.querySelectorAll('#events .vrow').length") < 60


def test_the_slider_shows_the_run_as_it_was(show: Show) -> None:
    page = show(50, over=True)
    slide = (
        "(() => { const range = document.querySelector('#replay input'); range.value = %d;"
        " range.dispatchEvent(new Event('input')); })()"
    )
    page.run(slide % 0)
    page.until("document.querySelector('.tile dd').textContent.startsWith('0 of 50')")
    assert set(texts(page, "#graph .mark")) <= {"○", "·"}
    page.run(slide % 4)
    page.until("[...document.querySelectorAll('#graph .mark')].some((one) => one.textContent === '●')")
    label = "getComputedStyle(document.querySelector('#%s h2'), '::after').content"
    fixed, replayed = ("now", "cost", "receipts", "council", "messages"), ("graph", "timeline", "tasks", "events")
    assert {page.run(label % part) for part in fixed} == {'" · as it is now"'}
    assert {page.run(label % part) for part in replayed} == {"none"}
    page.run("document.querySelector('#replay .end').click()")
    page.until("document.querySelector('#replay .end').disabled")
    page.until("!document.body.classList.contains('then')")
    assert {page.run(label % part) for part in fixed} == {"none"}
    assert texts(page, ".tile dd")[0].startswith(("49 of 50", "50 of 50"))
    assert page.faults == []


def test_a_task_is_chosen_by_keyboard_and_its_details_close_again(show: Show) -> None:
    page = show(50)
    page.run("document.querySelector('#graph .node').focus()")
    page.press("ArrowDown", 40)
    page.press("Enter", 13, "\r")
    page.until("!document.querySelector('#details').hidden")
    name = page.run("document.querySelector('#graph .node.on text').textContent")
    assert texts(page, "#details h2") == [name]
    page.press("Escape", 27)
    page.until("document.querySelector('#details').hidden")
    assert page.run("document.activeElement.closest('.node') !== null")


def test_a_search_among_tasks_outlives_a_redraw_with_its_focus_and_caret(show: Show) -> None:
    page = show(50)
    box = "document.querySelector('#tasks input')"
    page.run(f"(() => {{ const b = {box}; b.focus(); b.value = 'refund'; b.setSelectionRange(2, 4);"
             " b.dispatchEvent(new Event('input')); })()")  # fmt: skip
    rows = page.run("document.querySelector('#tasks [role=status]').textContent")
    assert "of 50 tasks" in rows
    page.run("document.querySelector('#tasks .tools button').dispatchEvent(new Event('click'))")
    assert page.run(f"[{box}.value, document.activeElement === {box}, {box}.selectionStart, {box}.selectionEnd]") == [
        "refund",
        True,
        2,
        4,
    ]
    page.run("(() => { const b = document.querySelector('#tasks .tools button'); b.focus(); b.click(); })()")
    assert page.run("document.activeElement === document.querySelector('#tasks .tools button')")
    assert page.run("document.querySelector('#tasks [role=status]').textContent") == rows


def test_the_switch_turns_light_to_dark_and_back(show: Show) -> None:
    page = show(3, scheme="light")
    ground = "getComputedStyle(document.body).backgroundColor"
    light = page.run(ground)
    page.run("document.querySelector('#theme').click()")
    dark = page.run(ground)
    page.run("document.querySelector('#theme').click()")
    assert dark != light
    assert page.run(ground) == light


def test_a_hundred_nasty_names_run_no_script_and_stand_there_as_text(show: Show) -> None:
    for start in (0, 25, 50, 75):
        names = HUNDRED[start : start + 25]
        page = show(25, names=names)
        page.run("document.querySelectorAll('#tasks .vrow button').forEach((one) => { one.click(); })")
        assert page.run("document.querySelector('h1 bdi').textContent") == names[0]
        assert page.run("document.scripts.length") == 2
        assert texts(page, OF_OTHERS) == []
        assert [url for url in page.requests if not url.startswith("file:")] == []
        assert page.faults == []


def test_no_request_leaves_the_page(show: Show) -> None:
    page = show(50)
    page.run("document.querySelectorAll('button').forEach((one) => one.id !== 'print' && one.click())")
    assert len(page.requests) == 1
    assert page.requests[0].startswith("file:")


def test_the_policy_lets_nothing_else_run_or_load(show: Show) -> None:
    page = show(3)
    page.run(
        "window.own = document.createElement('script'); own.textContent = 'window.bad = 1'; document.body.append(own)"
    )
    page.run("(() => { const i = new Image(); i.src = 'http://127.0.0.1:9/x.png'; document.body.append(i); })()")
    reached = page.run("fetch('http://127.0.0.1:9/').then(() => 'reached', () => 'refused')")
    assert page.run("window.bad === undefined")
    assert reached == "refused"
    assert all("Content Security Policy" in fault or "violates" in fault for fault in page.faults)


def test_on_paper_there_are_no_buttons_and_the_lists_are_whole(show: Show) -> None:
    page = show(50)
    page.media(kind="print")
    page.run("dispatchEvent(new Event('beforeprint'))")
    assert page.run("getComputedStyle(document.querySelector('.bar')).display") == "none"
    assert page.run("getComputedStyle(document.querySelector('#replay')).display") == "none"
    assert page.run("document.querySelectorAll('#tasks .vrow').length") == 50


def test_empty_parts_say_what_would_stand_there(show: Show, chromium: browser.Browser, tmp_path: Path) -> None:
    document: Any = picture_samples.document(3)
    for name in ("attempts", "events", "councils", "findings", "messages", "results"):
        document.pop(name, None)
    path = tmp_path / "bare.html"
    path.write_text(run_page.html(document), encoding="utf-8")
    page = chromium.page()
    page.goto(path.as_uri())
    page.drawn()
    assert len(texts(page, "main > .card .empty")) >= 6
    assert page.faults == []


@pytest.mark.skipif(not AXE.is_file(), reason="no axe-core here: `make test-page` installs it")
@pytest.mark.parametrize(("size", "scheme"), [(3, "dark"), (50, "light"), (50, "dark"), (2_000, "light")])
def test_axe_finds_nothing_serious(show: Show, size: int, scheme: str) -> None:
    page = show(size, scheme=scheme)
    page.run("document.querySelector('#tasks .vrow button').click()")
    page.run(f"{AXE.read_text('utf-8')};0")
    serious = page.run(
        "axe.run(document).then((all) => all.violations.filter((one) => ['serious', 'critical'].includes(one.impact))"
        ".map((one) => `${one.id}: ${one.nodes.slice(0, 3).map((node) => node.html.slice(0, 160))}`))"
    )
    assert serious == []
