"""Prompt templates: YAML front matter that declares the arguments, then Jinja in a sandbox (promise S13)."""

from __future__ import annotations

import functools
import re
from collections.abc import Mapping

import jinja2
import jinja2.meta
import jinja2.sandbox
import pydantic
import yaml

from dispatch_mcp import errors, model
from dispatch_mcp.agents import frontmatter

ARGUMENT = r"^[a-z][a-z0-9_]{0,39}$"
MAX_RENDERED = 200_000

_KEPT = 256
"""Templates that are kept as they were read: every server of a process reads the same fifty, several times each."""

_FRONT_MATTER = re.compile(r"\A---\n(.*?)^---\n", re.DOTALL | re.MULTILINE)
_ENVIRONMENT = jinja2.sandbox.ImmutableSandboxedEnvironment(
    undefined=jinja2.StrictUndefined,
    autoescape=False,  # prompts are plain text: HTML escapes would change what the reader is told
    trim_blocks=True,
    lstrip_blocks=True,
    keep_trailing_newline=True,
)


class Argument(model.Value):
    """One argument of a template; one that is not required and not given is an empty string."""

    name: str = pydantic.Field(pattern=ARGUMENT)
    description: str = pydantic.Field(min_length=1)
    required: bool = False


class _Front(model.Value):
    title: str = pydantic.Field(min_length=1, max_length=80)
    description: str = pydantic.Field(min_length=1, max_length=400)
    arguments: tuple[Argument, ...] = ()


class Template(model.Value):
    """A prompt template. `body` is Jinja and refers to nothing but its arguments."""

    name: str
    title: str
    description: str
    arguments: tuple[Argument, ...]
    body: str


def render(template: Template, arguments: Mapping[str, str]) -> str:
    """Returns the text of a template; the values of arguments are never read as templates themselves.

    Raises:
        InputError: a required argument is missing or empty, one is unknown, or the text becomes too long.
    """
    _check(template, arguments)
    values = {argument.name: arguments.get(argument.name, "") for argument in template.arguments}
    try:
        text = _ENVIRONMENT.from_string(template.body).render(values)
    except (jinja2.TemplateError, ArithmeticError, LookupError, TypeError, ValueError) as error:
        raise errors.InputError(
            f"Template {template.name!r} could not be filled in: {error}.", hint="Check the values of its arguments."
        ) from error
    if len(text) > MAX_RENDERED:
        raise errors.InputError(
            f"Template {template.name!r} gives {len(text)} characters, more than {MAX_RENDERED}.",
            hint="Pass long texts as files or artifacts and name them.",
        )
    return text.strip() + "\n"


def _check(template: Template, arguments: Mapping[str, str]) -> None:
    names = [argument.name for argument in template.arguments]
    needs = [argument.name for argument in template.arguments if argument.required]
    missing = [name for name in needs if not arguments.get(name, "").strip()]
    unknown = [name[:80] for name in arguments if name not in names]
    if missing or unknown:
        wrong = [f"{missing!r} missing"] * bool(missing) + [f"{unknown!r} unknown"] * bool(unknown)
        raise errors.InputError(
            f"Template {template.name!r}: {' and '.join(wrong)}.",
            hint=f"Its arguments are {', '.join(names) or 'none'}.",
        )


@functools.lru_cache(maxsize=_KEPT)
def read_template(text: str, name: str = "") -> Template:
    """Returns the template that a `.md.j2` file holds.

    Raises:
        ConfigError: no front matter, a wrong field, wrong Jinja, or a variable that is not declared as an argument.
    """
    head = _FRONT_MATTER.match(text)
    if not head:
        raise _broken(name, "it does not begin with front matter between two `---` lines")
    try:
        front = _Front.model_validate(frontmatter.yaml_value(head[1]))
        body = text[head.end() :]
        tree = _ENVIRONMENT.parse(body)
    except (yaml.YAMLError, pydantic.ValidationError, jinja2.TemplateSyntaxError, RecursionError) as error:
        raise _broken(name, str(error)) from error
    variables = jinja2.meta.find_undeclared_variables(tree)
    if strangers := sorted(variables - {argument.name for argument in front.arguments}):
        raise _broken(name, f"it uses {strangers!r} without declaring them as arguments")
    if list(jinja2.meta.find_referenced_templates(tree)):
        raise _broken(name, "it includes, imports or extends another template")
    return Template(
        name=name, title=front.title, description=front.description, arguments=front.arguments, body=body.lstrip("\n")
    )


def _broken(name: str, reason: str) -> errors.ConfigError:
    return errors.ConfigError(
        f"Prompt template {name!r} is broken: {reason}.",
        hint="Write `title`, `description` and `arguments` (name, description, required) above the text.",
    )
