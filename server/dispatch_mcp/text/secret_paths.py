"""Which files are never shown to a worker, whoever asks (promise S4), and which are not worth indexing."""

from __future__ import annotations

import re
from functools import lru_cache

_FOLDERS = frozenset({".git", ".hg", ".svn", ".ssh", ".aws", ".gnupg", ".kube", ".azure", ".gcloud", ".password-store"})
_SERVICE_ACCOUNT = r"(?>.*?service[-_]?account).*\.json"  # the first is enough: looking at each takes quadratic time
_SECRET_NAMES = (
    *(r"\.env(?:[._-].*)?", r".*\.env", r"\.envrc"),  # settings of an environment
    r".*\.(?:pem|key|p12|pfx|jks|keystore|kdbx|ppk|pkcs12|asc|gpg|ovpn)",  # keys and key stores
    r".*\.(?:tfvars|tfstate(?:\..*)?)",  # Terraform keeps passwords in both
    *(r"id_[a-z0-9]+(?:\.pub|\.bak|\.old)?", ".*_(?:rsa|dsa|ecdsa|ed25519)"),  # keys of SSH
    *("[._]netrc", r"\.npmrc", r"\.yarnrc(?:\.yml)?", r"\.pypirc", r"\.git-credentials", r"\.gitconfig", r"\.pgpass"),
    *(r"\.my\.cnf", r"\.htpasswd", r"\.dockercfg", r"\.docker", r"\.vault-token", r"\.boto", r"\.s3cfg"),
    *(r"\.terraformrc", r"\.claude\.json"),
    r"(?:aws_|google_|gcp_)?credentials(?:\.(?:json|ya?ml|toml|ini|cfg|csv|txt|db))?",
    *(r"secrets?\.(?:json|ya?ml|toml|ini|cfg|env|txt)", _SERVICE_ACCOUNT, r"client_secret.*\.json"),
    *("known_hosts", "authorized_keys", "shadow", r"\.bash_history", r"\.zsh_history", r"\.python_history"),
)
"""Names of files that hold keys or passwords, or where those were typed; each is a whole name as an expression."""
_SECRET = re.compile("|".join(_SECRET_NAMES), re.IGNORECASE | re.DOTALL)

_VENDORED = frozenset(
    {
        *("node_modules", "bower_components", "jspm_packages", "vendor", "third_party", "third-party", "_vendor"),
        *("vendored", "site-packages", "__pycache__", ".venv", ".tox", ".nox", ".eggs", ".mypy_cache", ".ruff_cache"),
        *(".pytest_cache", ".hypothesis", ".gradle", ".idea", ".vscode", ".next", ".nuxt", ".cache", ".terraform"),
        *(".dart_tool", "Pods"),
    }
)
_BUILT = frozenset({"dist", "build", "target", "out", "venv", "env", "htmlcov", "coverage"})
_DULL_ENDINGS = (
    *("lock", "lockb", r"min\.js", r"min\.css", r"bundle\.js", "map", "snap", "log", "csv", "tsv", "patch", "diff"),
    *("svg", "png", "jpe?g", "gif", "ico", "webp", "bmp", "tiff?", "pdf", "ttf", "otf", "eot", "woff2?"),
    *("mp[34]", "avi", "mov", "webm", "wav", "ogg", "flac", "po", "mo", "pot"),
    *("zip", "gz", "tgz", "bz2", "xz", "7z", "rar", "whl", "egg", "jar", "war", "class", "pyc", "pyo", "pyd", "so"),
    *("dylib", "dll", "exe", "o", "a", "lib", "bin", "wasm"),
    *("dat", "db", "sqlite3?", "npy", "npz", "pkl", "pickle", "parquet", "onnx", "pt", "h5"),
)
_DULL_NAMES = (
    *(r"package-lock\.json", r"npm-shrinkwrap\.json", r"pnpm-lock\.yaml", r"go\.sum", r"\.ds_store", r"thumbs\.db"),
)
_DULL = re.compile(rf".*\.(?:{'|'.join(_DULL_ENDINGS)})|{'|'.join(_DULL_NAMES)}", re.IGNORECASE)


@lru_cache(maxsize=65536)
def secret(path: str) -> bool:
    """Returns whether a path names a key, a password file, version control's own files or anything inside such."""
    *folders, last = (part.split(":")[0].rstrip(". ").lower() for part in path.replace("\\", "/").split("/"))
    if _SECRET.fullmatch(last) or last in _FOLDERS:
        return True
    return any(name in _FOLDERS or (name[:1] == "." and bool(_SECRET.fullmatch(name))) for name in folders)


def skipped_folder(name: str, *, top: bool) -> bool:
    """Returns whether a folder holds other people's or built files; `top` says that it lies in the workspace itself."""
    return name in _VENDORED or name.lower() in _FOLDERS or (top and name in _BUILT)


def dull(name: str) -> bool:
    """Returns whether a file name stands for a lock file, something minified, generated or binary."""
    return bool(_DULL.fullmatch(name))


@lru_cache(maxsize=65536)
def unread_file(name: str) -> bool:
    """Returns whether a file of that name is neither read nor indexed."""
    return dull(name) or secret(name)


def readable(path: str, *, in_git: bool = False) -> bool:
    """Returns whether a file may be indexed, as far as its path says; `tracked` by git counts for built folders."""
    *folders, name = path.split("/")
    if unread_file(name) or ((path[:1] == "." or "/." in path) and secret(path)):
        return False
    return not any(skipped_folder(folder, top=not in_git and at == 0) for at, folder in enumerate(folders))


_LONG_LINE = 5_000
"""Characters of a line that nobody wrote by hand; four times as many in one line are enough to tell."""


def machine_made(text: str) -> bool:
    """Returns whether the text was made for machines: one very long line, or mostly long ones."""
    lines = text.count("\n") + 1
    if len(text) / lines > 400:
        return True
    return len(text) > _LONG_LINE and max(map(len, text.split("\n"))) > _LONG_LINE * 4
