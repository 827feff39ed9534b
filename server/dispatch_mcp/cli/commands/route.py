"""`dispatch-mcp route TEXT`: who should do it and why, transparently (docs/rules.md#routing-report)."""

from __future__ import annotations

import argparse
import sys

from dispatch_mcp import composition, configuration, errors, model
from dispatch_mcp.agents import catalog
from dispatch_mcp.cli import catalog_arguments, console, input_files
from dispatch_mcp.routing import offers, route_answers, router

MAX_TEXT = 200_000
"""Characters of a request that are looked at."""
LEAST_SHARE = 0.0005
"""From which share a runner-up is shown: a smaller one would read as 0.0 %."""


def main(options: argparse.Namespace, setup: configuration.LoadedSettings) -> int:
    """Prints the route; returns 3 when nobody is a likely home for the request."""
    hints = composition.hints(setup.settings)
    if options.batch is not None:
        if options.text:
            raise errors.InputError(
                f"Both a request and --batch {options.batch!r} are given.", hint="Leave one of them out."
            )
        cases = [(case["id"], case["text"]) for case in input_files.cases(options.batch, ("text",))]
        _answer_all(cases, catalog_arguments.choose(setup.settings, options.roster), hints)
        return console.OK
    text = _text(options.text)
    route = router.route(text, catalog_arguments.choose(setup.settings, options.roster), hints=hints)
    if options.json:
        console.emit(route_answers.full(route))
    else:
        _show(route)
    return console.OK if route.specialist else console.INCONCLUSIVE


def _text(words: list[str]) -> str:
    """Returns the request from the arguments, or from stdin when there are none."""
    text = " ".join(words) or ("" if sys.stdin.isatty() else input_files.text("-", limit=MAX_TEXT))
    if not text.strip():
        raise errors.InputError(
            "There is nothing to route.", hint='Say in a sentence what is to be done: dispatch-mcp route "…".'
        )
    return text[:MAX_TEXT]


def _show(route: router.Route) -> None:
    quotes = dict.fromkeys(piece.quote for piece in route.evidence)
    _line("Keywords detected", ", ".join(quotes) or "none that any agent knows")
    if route.specialist:
        _line("Routing to", f"{route.specialist} (confidence {route.confidence:.2f}, {route.strategy})", style="green")
    else:
        _line("Routing to", f"nobody (confidence {route.confidence:.2f})", style="yellow")
    if route.specialist and route.knowledge:
        _line("Knowledge document", route.knowledge)
    if route.specialist and route.model:
        _line("Model", f"{route.model} ({route.model_reason})")
    _line("Why", route.why)
    rivals = [rival for rival in route.ranked if rival.name != route.specialist and rival.share >= LEAST_SHARE][:3]
    if route.specialist and rivals:  # where nobody is a likely home, those to choose from stand below
        _line("Runners-up", ", ".join(f"{rival.name} {rival.share:.1%}" for rival in rivals))
    if not route.sure:
        _show_offer(route.offer)
    for warning in route.warnings:
        _line("Warning", warning, style="yellow")
    if route.question:
        _line("Ask first", route.question, style="yellow")
    if route.try_words:
        _line("Words that would help", ", ".join(route.try_words))


def _show_offer(offer: offers.AgentOffer) -> None:
    console.say("Choose from:")
    for choice in offer.choices:
        console.say(f"  {choice.agent}: {choice.about}")
    for part in offer.parts:
        _line("Part", f"{part.words}: {part.agent}")
    if offer.rest:
        _line("Others", offers.line(offer.rest))
    if offer.off:
        rather = f"{offer.absent} would fit better; " if offer.absent else ""
        _line("Rosters that are off", f"{rather}{', '.join(offer.off)} (--roster NAME)")
    for name, evidence in offer.switched_on.items():
        _line("Switched on", f"{name}, because {evidence}")


def _line(label: str, text: str, *, style: str = "") -> None:
    console.say(f"{label}: {text}", style=style)


def _answer_all(cases: list[tuple[model.Json, str]], catalogue: catalog.Catalog, hints: router.Hints) -> None:
    """Prints one JSON line for each case, in order; the label is null when the router abstains."""
    for case, text in cases:
        route = router.route(text, catalogue, hints=hints)
        names = [candidate.name for candidate in route.ranked]
        console.line(
            {
                "id": case,
                "label": route.specialist,
                "confidence": route.confidence,
                "ranked": names,
                "offered": list(route_answers.names_offered(route)),
            }
        )
