"""Writes the pages of docs/reference that come from the code; with --check only says which are out of date."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

import pydantic

import argument_meanings
import event_kinds
from dispatch_mcp import errors, model
from dispatch_mcp.cli import arguments as cli
from dispatch_mcp.cli import settings_guide
from dispatch_mcp.mcp_server import descriptions, tool_arguments

REFERENCE = Path(__file__).resolve().parents[1] / "docs" / "reference"
NOTE = "<!-- Written by `make docs` from the code. Change the code instead. -->"
COMMON = (
    "Every command also takes `--home DIR`, the state folder, and `--workspace DIR`, the project that the work is "
    "about. Every command except `serve` takes `--json`."
)
SECTIONS = {"Begin": ".", "How to": "how-to", "Clients": "clients", "Reference": "reference", "Decisions": "adr"}
GENERATED: dict[str, str] = {}
"""Pages by file name that are as they will be written."""

CHOICES = pydantic.TypeAdapter(tuple[str, ...])
Schema = Mapping[str, model.Json]


def pages() -> dict[str, str]:
    """Returns the generated pages by file name."""
    GENERATED.update(
        {
            "cli.md": "\n".join(cli_lines()) + "\n",
            "tools.md": "\n".join(tool_lines()) + "\n",
            "settings.md": "\n".join(settings_lines()) + "\n",
            "events.md": "\n".join(event_lines()) + "\n",
            "errors.md": "\n".join(error_lines()) + "\n",
        }
    )
    return {**GENERATED, "../llms.txt": "\n".join(index_lines()) + "\n"}


def event_lines() -> Iterator[str]:
    """Yields the page of the events."""
    yield from ("# Events", "", NOTE, "")
    yield (
        'What the history of a run consists of (`get_trace` with `view: "timeline"`, `dispatch-mcp trace`). Events are '
        "numbered from 1 and never change; each is stored in the transaction of what it tells."
    )
    yield from ("", "| event | says that |", "|---|---|")
    yield from (f"| `{kind}` | {cell(meaning)} |" for kind, meaning in event_kinds.MEANINGS.items())


def error_lines() -> Iterator[str]:
    """Yields the page of the errors, each below the one that it is a kind of."""
    yield from ("# Errors", "", NOTE, "")
    yield (
        "What tools and commands answer when something cannot be done: a message that quotes the wrong value, and what "
        "to do next. The names stand in logs."
    )
    yield from ("", "| error | kind of | means |", "|---|---|---|")
    for kind in error_kinds(errors.DispatchError):
        parent = kind.__bases__[0].__name__ if kind is not errors.DispatchError else ""
        meaning = cell((kind.__doc__ or "").partition("\n\n")[0])
        yield f"| `{kind.__name__}` | {f'`{parent}`' if parent else ''} | {meaning} |"


def error_kinds(kind: type[errors.DispatchError]) -> Iterator[type[errors.DispatchError]]:
    """Yields an error of the tree in `errors`, and all kinds of it."""
    yield kind
    for child in kind.__subclasses__():
        if child.__module__ == errors.__name__:
            yield from error_kinds(child)


def index_lines() -> Iterator[str]:
    """Yields llms.txt: every page of the documentation with its first sentence, for models that look for one."""
    yield from ("# dispatch-mcp", "", f"> {cell(cli.parser().description or '')}")
    for title, folder in SECTIONS.items():
        yield from ("", f"## {title}", "")
        for path in sorted((REFERENCE.parent / folder).glob("*.md")):
            place = path.relative_to(REFERENCE.parent).as_posix()
            heading, first = opening(GENERATED.get(path.name, "") or path.read_text(encoding="utf-8"))
            yield f"- [{heading}]({place}){f': {first}' if first else ''}"


def opening(text: str) -> tuple[str, str]:
    """Returns the heading of a page and its first sentence in plain text, empty where it begins with something else."""
    lines = [line for line in text.splitlines() if line.strip() and not line.startswith("<!--")]
    prose = next((line for line in lines[1:2] if line[0] not in "#|-`!*"), "")
    plain = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", prose)
    return lines[0].lstrip("# "), re.split(r"(?<=[.:])\s", plain)[0] if plain else ""


def tool_lines() -> Iterator[str]:
    """Yields the page of the tools."""
    yield from ("# Tools", "", NOTE, "", "What an assistant sees. An argument without a default is required.", "")
    for name, expected in tool_arguments.TOOLS.items():
        schema = expected.model_json_schema()
        yield from (f"## `{name}`", "", f"*{descriptions.TITLES[name]}.* {descriptions.DESCRIPTIONS[name]}", "")
        yield from argument_table(schema, name)
        for key, nested in nested_objects(schema):
            yield from (f"Each item of `{key}`:", "")
            yield from argument_table(nested, f"{name}.{key}")


def settings_lines() -> Iterator[str]:
    """Yields the page of the settings."""
    yield from ("# Settings", "", NOTE, "")
    where = (
        "They stand in `config.toml` of the state folder (`dispatch-mcp config path`), or in the environment as "
        "`DISPATCH_MCP_` and the name in capitals; a flag is stronger than the environment, the environment than the "
        "file. Lists in the environment are JSON. `dispatch-mcp config` shows what is in force, `config check` what "
        "cannot be used."
    )
    yield from (
        where,
        "",
        "| setting | meaning | default | possible | example |",
        "|---|---|---|---|---|",
    )
    for name, (meaning, example) in settings_guide.MEANINGS.items():
        default = settings_guide.default(name)
        shown = f"`{default}`" if default else ""
        yield f"| `{name}` | {cell(meaning)} | {shown} | {cell(settings_guide.possible(name))} | `{example}` |"


def nested_objects(schema: Schema) -> Iterator[tuple[str, Schema]]:
    """Yields the lists of objects among a tool's arguments, with the schema of their items."""
    for key, value in schema["properties"].items():
        items = value.get("items", {})
        if items.get("properties"):
            yield key, items


def argument_table(schema: Schema, owner: str) -> Iterator[str]:
    """Yields a table of an object's properties; what the schema says nothing of stands in `argument_meanings`."""
    meanings = argument_meanings.MEANINGS.get(owner, {})
    yield from ("| argument | type | default | meaning |", "|---|---|---|---|")
    required = schema.get("required", ())
    for key, value in schema["properties"].items():
        default = "required" if key in required else shown_default(value)
        meaning = value.get("description") or meanings.get(key, "")
        yield f"| `{key}` | {shown_type(value)} | {default} | {cell(meaning)} |"
    yield ""


def shown_default(value: Schema) -> str:
    """Returns the default as JSON, and nothing for the empty ones."""
    default = value.get("default")
    return f"`{json.dumps(default)}`" if default else ""


def shown_type(value: Schema) -> str:
    """Returns a property's type in a few words."""
    if "enum" in value:
        return ", ".join(f"`{choice}`" for choice in value["enum"])
    kind = str(value.get("type", "any"))
    if kind == "array":
        return f"list of {shown_type(value.get('items', {}))}"
    bounds = " to ".join(str(value[key]) for key in ("minimum", "maximum") if key in value)
    return f"{kind}, {bounds}" if bounds else kind


def cell(text: str) -> str:
    """Returns text that stays inside its table cell."""
    return " ".join(text.split()).replace("|", "\\|")


def cli_lines() -> Iterator[str]:
    """Yields the page of the command line."""
    yield from ("# Command line", "", NOTE, "", f"{cell(cli.parser().description or '')}", "")
    yield from ("Without a command: the server when standard input is not a terminal, this overview otherwise.", "")
    yield from (f"{cli.EXIT_CODES[:1].upper()}{cli.EXIT_CODES[1:]}.", "")
    yield from (COMMON, "")
    for name, command in cli.COMMANDS.items():
        yield from (f"## `dispatch-mcp {name}`", "", f"{command.help[:1].upper()}{command.help[1:]}.", "")
        if command.arguments:
            yield from ("| argument | default | meaning |", "|---|---|---|")
            for names, how in command.arguments:
                meaning = cell(str(how.get("help", "")))
                yield f"| {shown_names(names, how)} | {shown_default_of(names, how)} | {meaning} |"
            yield ""


def shown_names(names: tuple[str, ...], how: Mapping[str, object]) -> str:
    """Returns how an argument is typed: its options, or its place, with its choices."""
    choices = "" if "choices" not in how else "\\|".join(CHOICES.validate_python(how["choices"]))
    if not names[0].startswith("-"):
        name = (choices or names[0]) + ("..." if how.get("nargs") == "*" else "")
        return f"`[{name}]`" if "nargs" in how else f"`{name}`"
    value = "" if "action" in how else f" {choices or names[-1].strip('-').replace('-', '_').upper()}"
    return ", ".join(f"`{name}{value}`" for name in names)


def shown_default_of(names: tuple[str, ...], how: Mapping[str, object]) -> str:
    """Returns the default, or that there is none."""
    if not names[0].startswith("-") and "nargs" not in how:
        return "required"
    return f"`{how['default']}`" if how.get("default") else ""


def main() -> int:
    """Writes the pages, or with --check returns 1 when one is out of date."""
    check = sys.argv[1:] == ["--check"]
    stale = 0
    for name, text in pages().items():
        path = REFERENCE / name
        if path.is_file() and path.read_text(encoding="utf-8") == text:
            continue
        stale += 1
        if check:
            print(f"{path.name} is out of date: run `make docs`")
        else:
            REFERENCE.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
            print(f"wrote {path.name}")
    return 1 if check and stale else 0


if __name__ == "__main__":
    sys.exit(main())
