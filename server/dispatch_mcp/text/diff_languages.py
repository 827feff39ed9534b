"""What the name of a file in a change says about what it is written in."""

from __future__ import annotations

import functools

LANGUAGES = {
    extension: language
    for language, extensions in {
        "python": "py pyi pyw pyx",
        "javascript": "js jsx mjs cjs vue svelte",
        "typescript": "ts tsx mts cts",
        "go": "go",
        "java": "java",
        "kotlin": "kt kts",
        "scala": "scala sc",
        "groovy": "groovy gradle",
        "csharp": "cs cshtml razor",
        "fsharp": "fs fsx",
        "ruby": "rb rake erb gemspec",
        "php": "php phtml",
        "rust": "rs",
        "c": "c h",
        "cpp": "cc cpp cxx hpp hh hxx",
        "swift": "swift",
        "objective-c": "m mm",
        "dart": "dart",
        "elixir": "ex exs",
        "erlang": "erl",
        "haskell": "hs",
        "lua": "lua",
        "perl": "pl pm",
        "r": "r",
        "clojure": "clj cljs",
        "shell": "sh bash zsh ksh ps1 bat",
        "sql": "sql",
        "html": "html htm j2 jinja jinja2 hbs ejs twig mustache",
        "css": "css scss sass less",
        "terraform": "tf tfvars hcl",
        "protobuf": "proto",
        "graphql": "graphql gql",
        "yaml": "yml yaml",
        "json": "json jsonc json5",
        "toml": "toml",
        "xml": "xml csproj props pom",
        "ini": "ini cfg conf properties env",
        "text": "md rst txt adoc mdx",
    }.items()
    for extension in extensions.split()
}
NAMED = {
    "dockerfile": "docker",
    "containerfile": "docker",
    "makefile": "make",
    "jenkinsfile": "groovy",
    "gemfile": "ruby",
    "rakefile": "ruby",
    "vagrantfile": "ruby",
    "podfile": "ruby",
}
NOT_CODE = frozenset({"yaml", "json", "toml", "xml", "ini", "text", "css", ""})
"""Languages without behaviour of their own."""


@functools.lru_cache(maxsize=4096)
def language(path: str) -> str:
    """Returns the language that a file name stands for, or an empty string."""
    name = path.rpartition("/")[2].lower()
    stem, _, extension = name.rpartition(".")
    if name.startswith("dockerfile") or extension == "dockerfile":
        return "docker"
    return NAMED.get(name) or (LANGUAGES.get(extension, "") if stem or name.startswith(".env") else "")
