"""Help for people: grouped commands, examples, whole words at any width, and what was probably meant."""

from __future__ import annotations

import argparse
import difflib
import os
import sys
import textwrap
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, NoReturn

if TYPE_CHECKING:
    from _typeshed import SupportsWrite

NARROWEST, USUAL, WIDEST = 30, 79, 100
"""Columns that help fills at least, where nobody can say, and at most."""
GAP = 2
MOST_CHOICES = 12
"""Choices that a complaint lists."""
MISSING = "the following arguments are required: "
"""How argparse begins to say that arguments are missing."""
PROGRAM = "dispatch-mcp"


def sentence(text: str) -> str:
    """Returns a help text as a sentence of its own."""
    return f"{text[:1].upper()}{text[1:]}."


def width() -> int:
    """Returns the columns that help may fill."""
    columns = os.environ.get("COLUMNS", "")
    if columns.isdecimal() and int(columns) > 0:
        return max(NARROWEST, min(WIDEST, int(columns) - 1))
    try:
        return max(NARROWEST, min(WIDEST, os.get_terminal_size().columns - 1))
    except OSError:
        return USUAL


def wrapped(text: str, columns: int, *, indent: str = "", first: str | None = None) -> str:
    """Returns a text in lines of whole words; a word that is longer than a line stays whole."""
    return textwrap.fill(
        text,
        columns,
        initial_indent=indent if first is None else first,
        subsequent_indent=indent,
        break_long_words=False,
        break_on_hyphens=False,
    )


def in_columns(line: str, columns: int) -> str:
    """Returns a line in lines of whole words with its own indentation; as it is where no width is known (0)."""
    if not columns or len(line) <= columns:
        return line
    return wrapped(line.lstrip(), columns, indent=line[: len(line) - len(line.lstrip())])


def complaint(lines: Sequence[str]) -> str:
    """Returns lines for stderr: in whole words where it is a terminal, as they are where a program reads them."""
    columns = width() if sys.stderr.isatty() else 0
    return "".join(f"{in_columns(line, columns)}\n" for line in lines)


class Formatter(argparse.HelpFormatter):
    """argparse's help in whole words."""

    def __init__(self, prog: str) -> None:
        columns = width()
        super().__init__(prog, max_help_position=min(26, columns // 3), width=columns)

    def _format_usage(
        self,
        usage: str | None,  # noqa: ARG002  # argparse hands it in by name
        actions: Iterable[argparse.Action],
        groups: object,  # noqa: ARG002
        prefix: str | None,
    ) -> str:
        if prefix == "":  # argparse asks for what stands before the words of a command
            return self._prog
        places = [action for action in actions if not action.option_strings]
        names = [f"[{action.dest}]" if action.nargs in ("?", "*") else action.dest for action in places]
        line = " ".join([f"usage: {self._prog} [options]", *names])
        return wrapped(line, width(), indent=" " * 7, first="") + "\n\n"

    def _split_lines(self, text: str, width: int) -> list[str]:
        return wrapped(" ".join(text.split()), max(width, 11)).splitlines()

    def _fill_text(self, text: str, width: int, indent: str) -> str:
        return wrapped(" ".join(text.split()), max(width, 11), indent=indent)


class Parser(argparse.ArgumentParser):
    """A parser whose help is grouped, whose complaints say what was probably meant, and which tells no secrets."""

    clean: Callable[[str], str] = staticmethod(str)
    """Takes secrets out of what is printed."""
    examples: Sequence[str] = ()
    groups: Mapping[str, Mapping[str, str]] = {}
    ways: Mapping[str, str] = {}
    """What to type instead of words that people take for commands."""

    def __init__(
        self, prog: str | None = None, *, description: str | None = None, epilog: str | None = None, **_more: object
    ) -> None:
        super().__init__(prog, description=description, epilog=epilog, formatter_class=Formatter)
        self.commands: dict[str, Parser] = {}

    def _print_message(self, message: str, file: SupportsWrite[str] | None = None) -> None:
        super()._print_message(Parser.clean(message), file)

    def format_help(self) -> str:
        """Returns the help page; that of the whole program lists commands by group."""
        page = self._overview() if self.groups else super().format_help()
        if not self.examples:
            return page
        body, mark, end = page.rpartition("\nexit codes")
        rows = "".join(f"  {PROGRAM} {example}\n" for example in self.examples)
        return f"{body}\nexamples:\n{rows}{mark}{end}"

    def _overview(self) -> str:
        columns = width()
        parts = [f"usage: {self.prog} [-h] [-V] command ...\n", wrapped(str(self.description), columns) + "\n"]
        parts += ["\n".join(_rows(title, commands, columns)) + "\n" for title, commands in self.groups.items()]
        return "\n".join([*parts, wrapped(f"`{self.prog} COMMAND --help` explains one.", columns) + "\n", ""]) + (
            wrapped(str(self.epilog), columns) + "\n"
        )

    def _check_value(self, action: argparse.Action, value: object) -> None:
        choices = list(map(str, action.choices or ()))
        if not choices or value in choices:
            return
        rank = {name: at for at, name in enumerate(name for commands in self.groups.values() for name in commands)}
        choices.sort(key=lambda name: rank.get(name, len(rank)))
        guess = f"{self.ways[str(value)]}." if str(value) in self.ways else _meant(str(value), choices)
        offer = "" if guess and len(choices) > MOST_CHOICES else f"Choose from: {_listed(choices)}."
        raise argparse.ArgumentError(action, " ".join(filter(None, (f"there is no {value!r}.", guess, offer))))

    def read(self, words: Sequence[str]) -> argparse.Namespace:
        """Returns the options. Exits with 2 for what it does not know, with what was probably meant."""
        self._look_before_the_command(words)
        options, rest = self.parse_known_args(words)
        if rest:
            command = self.commands[options.command]
            guesses = [guess for word in rest if (guess := _meant(word.partition("=")[0], command.options()))]
            command.error(f"unknown: {' '.join(rest)}. {' '.join(guesses) or command.form_of_values()}".rstrip())
        return options

    def _look_before_the_command(self, words: Sequence[str]) -> None:
        """Ends with 2 for an option that stands before the command and is not the program's own."""
        name = words[0].partition("=")[0] if words else ""
        own = [option for action in self._actions for option in action.option_strings]
        if not name.startswith("-") or any(option.startswith(name) for option in own):
            return
        if any(name in command.options() for command in self.commands.values()):
            self.error(f"{name} stands behind the command, as in `{self.prog} status {name}`")
        self.error(f"unknown: {name}. {_meant(name, own)}".rstrip())

    def form_of_values(self) -> str:
        """Returns how the values of the command are written that are no options, if they have a form of their own."""
        forms = [action for action in self._actions if "=" in str(action.metavar)]
        return " ".join(f"Write {action.metavar}, {action.help}." for action in forms)

    def options(self) -> list[str]:
        """Returns the long options."""
        return [name for action in self._actions for name in action.option_strings if name.startswith("--")]

    def error(self, message: str) -> NoReturn:
        """Says what was wrong in a line or two and ends with 2."""
        usage = " ".join(self.format_usage().split())
        lines = (f"{self.prog}: {self._with_choices(message)}", f"  {usage}; --help says what there is.")
        self.exit(2, complaint(lines))

    def _with_choices(self, message: str) -> str:
        """Returns what is missing with the values that it can have; other complaints as they are."""
        if not message.startswith(MISSING):
            return message
        actions = {action.dest: action for action in self._actions}
        names = message.removeprefix(MISSING).split(", ")
        return MISSING + ", ".join(_with_values(name, actions.get(name)) for name in names)


def _with_values(name: str, action: argparse.Action | None) -> str:
    """Returns an argument with its values if it has a few."""
    values = list(map(str, action.choices or ())) if action else []
    return f"{name} ({_listed(values)})" if values else name


def _listed(values: Sequence[str]) -> str:
    return ", ".join(values[:MOST_CHOICES]) + (", …" if len(values) > MOST_CHOICES else "")


def _meant(word: str, names: Sequence[str]) -> str:
    """Returns a question for the name that was probably meant, or nothing."""
    same = [name for name in names if name.lower() == word.lower()]
    close = same or difflib.get_close_matches(word.lower(), names, n=1, cutoff=0.6)
    return f"Did you mean {close[0]!r}?" if close else ""


def _rows(title: str, commands: Mapping[str, str], columns: int) -> Iterator[str]:
    """Yields a heading and a line or more for each command; on a narrow terminal the text stands below the name."""
    yield f"{title}:"
    longest = max(map(len, commands))
    side_by_side = columns - longest - 2 * GAP >= NARROWEST
    for name, text in commands.items():
        indent = " " * (longest + 2 * GAP if side_by_side else 3 * GAP)
        first = f"{' ' * GAP}{name.ljust(longest)}{' ' * GAP}" if side_by_side else indent
        if not side_by_side:
            yield f"{' ' * GAP}{name}"
        yield wrapped(text, columns, indent=indent, first=first)
