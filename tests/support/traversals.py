"""Ways out of a folder that have worked somewhere: what a path must never do."""

from __future__ import annotations

UP = ("..", "../..", "../../../../../../../../etc/passwd", "../outside.txt", "a/../../outside.txt", "./../outside.txt")
TRAVERSALS = (
    *UP,
    *("/etc/passwd", "//etc/passwd", "///outside.txt", "~/outside.txt", "~root/.ssh/id_rsa", "/proc/self/environ"),
    *(
        "/dev/zero",
        "/proc/self/fd/0",
        "..\\outside.txt",
        "..\\..\\windows\\win.ini",
        "C:\\Windows\\win.ini",
        "C:/x.txt",
    ),
    *("C:outside.txt", "\\\\server\\share\\x", "\\outside.txt", "a\\..\\..\\outside.txt", "src/..\\..\\outside.txt"),
    *("src/../../outside.txt", "src/./../../outside.txt", "src//../../outside.txt", "src/.../outside.txt/../../.."),
    *("..//outside.txt", ".././outside.txt", "./.././outside.txt", "src/link/outside.txt", "src/link", "link.txt"),
    *("loop", "loop/loop/loop", "src/../link.txt", "src/up/outside.txt", "src/up/../outside.txt", "fifo"),
    *("outside.txt\0.py", "src/app.py\0", "\0", "src/app.py\n", "src/\rapp.py", "\x1b[31mapp.py", "src/app.py\x7f"),
    *("", ".", "./", "/", "src/", "src", "src/.", "src/..", " ", "src/app.py/", "src/app.py/..", "src/app.py/x"),
    *("file:///etc/passwd", "%2e%2e/outside.txt", "..%2foutside.txt", "%2e%2e%2foutside.txt", "..%c0%afoutside.txt"),
    *("..\u2215outside.txt", "..\uff0foutside.txt", "\uff0e\uff0e/outside.txt", "..;/outside.txt", "....//outside.txt"),
    *("\ud800.txt", "a" * 5_000, "a/" * 100 + "b", "src/" + "../" * 40 + "outside.txt", "CON", "nul.txt:stream"),
    *(".git/config", ".git/HEAD", "sub/.git/config", ".env", ".env.local", "prod.env", ".ENV", ".env.", ".env::$DATA"),
    *("id_rsa", "id_ed25519", "keys/id_rsa.pub", ".ssh/config", "server.pem", "tls/server.KEY", ".aws/credentials"),
    *(".netrc", ".npmrc", ".pypirc", ".git-credentials", ".docker/config.json", "secrets.yaml", "credentials.json"),
)
