"""Signs that a change pulls in what others wrote."""

from __future__ import annotations

import re
from typing import Final

from dispatch_mcp.review import signs
from dispatch_mcp.review.signs import Sign, sign

_INDEX, _LINKS = ("-".join(words) for words in (("index", "url"), ("find", "links")))
"""Options that change where packages come from; written in parts, as no file of ours may seem to use them."""

_VERSION = (
    r"(?:[\"'](?:[\^~<>=!]{0,2}\s*v?\d+(?:\.[\dx*+]+)*[\w.+-]*|latest|\*|git\+|https?:|github:|file:"
    r"|workspace:|npm:|link:)"
    r"|[\^~]?\d+\.\d+|\^\d|any\s*$)"
)
_FETCH_SCRIPT = (
    r"(?:curl|wget|iwr|invoke-webrequest)\b[^|]*\|\s*(?:sudo\s+)?(?:ba|z|da)?sh|\bpip3?\s+install|\bnpm\s+"
    r"(?:install|i|add)\b|\byarn\s+(?:global\s+)?add|\bpnpm\s+add|"
    r"\bgem\s+install|\bgo\s+(?:install|get)\b|\bcargo\s+(?:install|add)|apt(?:-get)?\s+(?:-\w+\s+)*install"
    r"|apk\s+(?:--?\S+\s+)*add|yum\s+(?:-y\s+)?install|dnf\s+(?:-y\s+)?install|"
    r"brew\s+install|\bnpx\s+|\bpoetry\s+add|\bcomposer\s+require|\buvx?\s+(?:pip\s+install|add|tool)"
    r"|\badd\s+https?://|choco\s+install"
)
DEPENDENCIES: Final[tuple[Sign, ...]] = (
    sign(
        "fetched-at-build",
        "dependencies",
        8,
        "something is installed or downloaded while building or running",
        "install curl wget add get npx require pip npm yarn apt apk gem cargo brew from iwr composer yum dnf uv choco",
        regex=_FETCH_SCRIPT,
        places=("code", "config", "test"),
        unless=r"^\s*(?://|\*|#(?!!))|curl.*localhost",
    ),
    sign(
        "base-image",
        "dependencies",
        8,
        "a base image or an action changes, or has a moving tag",
        "from uses image container orb include services",
        regex=r"^\s*from\s+(?:--platform=\S+\s+)?[\w./-]+(?::[\w.-]+)?(?:@sha256)?(?:\s+as\s+\w+)?\s*$|^\s*-?\s*uses:\s*"
        r"[\w./-]+@|^\s*-?\s*[\"']?image[\"']?\s*[:=]\s*[\"']?[\w./-]+[:@]|^\s*FROM\s+\S+:latest",
        places=("code", "config"),
        languages="docker yaml terraform groovy json",
    ),
    sign(
        "install-script",
        "dependencies",
        8,
        "a script runs when the package is installed, or its source changes",
        f"postinstall preinstall prepare {_INDEX} extra-{_INDEX} registry npmrc trusted-host {_LINKS}"
        " _auth_token source "
        "resolutions overrides repositories replace no-verify ignore-scripts legacy-peer-deps index url"
        " proxy goproxy gosumdb "
        "gonosumcheck patch strict-ssl allow-scripts maven mavencentral jcenter gnupg no-cache insecure-registry",
        regex=r"[\"'](?:post|pre)install[\"']\s*:|\b(?:extra-)?index[-]url|find[-]links|trusted-host|^\s*@?[\w:.-]*regis"
        r"try"
        r"\s*[=:]|[\"'](?:resolutions|overrides)[\"']\s*:|^\s*replace\s+\S+\s+=>|^replace\s*\(|"
        r"--legacy-peer-deps|--no-verify|--ignore-scripts|gosumdb|goproxy|strict-ssl\s*=\s*false|\[\[(?:tool\.poet"
        r"ry\.)?source\]\]|\[patch\.|maven\s*\{|jcenter\(\)|--no-integrity|--force\b.*install|no-require-hashes"
        r"|allow-prereleases",
        places=signs.ALL,
    ),
    sign(
        "licence",
        "dependencies",
        6,
        "a licence changes",
        "license licence spdx gpl agpl lgpl",
        regex=r"[\"']?licen[sc]es?[\"']?\s*[:=]\s*[\"'{\[]|spdx-license-identifier|\b[al]?gpl(?:-?v?[23])",
        places=("code", "config", "text"),
    ),
)
MANIFEST_ENTRY: Final = re.compile(
    r"^\s*[\"']?(?!(?:version|name|node|npm|description|main|python|requires-python|engine|private"
    r"|type|license|edition|rust-version|"
    rf"line-length|target-version|go|toolchain)[\"']?\s*[:=])@?[\w./@-]+[\"']?\s*(?::|=|=>)\s*{_VERSION}"
    r"|^\s*[\"']?[A-Za-z][\w.-]*(?:\[[\w,-]+\])?\s*(?:==|>=|<=|~=|!=|===|<|>)\s*[\d*]|^\s*[\"'](?!\w{1,4}\d{2,"
    r"4}[\"'])[A-Za-z][\w.-]*"
    r"(?:\[[\w,-]+\])?(?:[<>=~!]=?[^\"']*)?[\"'],?\s*$"
    r"|^\s*-\s+[A-Za-z][\w.-]*(?:==?|>=)\d"
    r"|^\s*(?:require\s+)?[\w.-]+\.[a-z]{2,}/[\w./-]+\s+v\d|^\s*gem\s+[\"']|<(?:version|artifactid"
    r"|groupid|dependency|packagereference|packageversion)\b|"
    r"^\s*(?:implementation|api|compile|testimplementation|compileonly|runtimeonly|annotationprocessor"
    r"|kapt|classpath|id)\s*[\(\s\"']|\.package\(|\{:\w+,\s*[\"']~|"
    r"^\s*pod\s+[\"']|\badd_dependency|^\s*-e\s|git\+|^\s*[\w-]+\s*=\s*\{[^}]*(?:version|git|path|features)"
    r"|fetchcontent|find_package\(|http_archive\(|bazel_dep\(",
    re.IGNORECASE,
)
"""A line of a manifest that names a dependency."""

MANIFESTS: Final = re.compile(
    r"(?:^|/)(?:package\.json|requirements[\w.-]*\.(?:txt|in)|constraints[\w.-]*\.txt|requirements/[\w.-]+\.tx"
    r"t|pyproject\.toml|setup\.(?:py|cfg)|pipfile|environment\.ya?ml|"
    r"go\.mod|cargo\.toml|gemfile|[\w.-]+\.gemspec|composer\.json|pom\.xml|build\.gradle(?:\.kts)?"
    r"|settings\.gradle(?:\.kts)?|libs\.versions\.toml|"
    r"[\w.-]+\.(?:csproj|fsproj|vbproj)|directory\.packages\.props|packages\.config|package\.swift"
    r"|podfile|mix\.exs|pubspec\.ya?ml|rebar\.config|deps\.edn|project\.clj|"
    r"build\.sbt|conanfile\.(?:txt|py)|vcpkg\.json|module\.bazel|workspace(?:\.bazel)?|chart\.ya?ml"
    r"|flake\.nix|bower\.json|deno\.json|\.gitmodules|description|cpanfile|renv\.lock|"
    r"elm\.json|dub\.json|build\.zig\.zon|paket\.dependencies|\.npmrc|\.yarnrc(?:\.yml)?|pip\.conf"
    r"|\.pypirc|stack\.ya?ml|[\w.-]+\.cabal|requirements\.ya?ml)$",
    re.IGNORECASE,
)
