"""Which addresses on the web may be called."""

from __future__ import annotations

import socket

import pytest

from dispatch_mcp.process import web_address

GOOD = [
    ("https://example.com/hook", ("example.com", 443, "/hook", True)),
    ("https://example.com:8443", ("example.com", 8443, "/", True)),
    ("https://EXAMPLE.com/a?b=c&d=%20", ("example.com", 443, "/a?b=c&d=%20", True)),
    ("http://127.0.0.1:9000/runs", ("127.0.0.1", 9000, "/runs", False)),
    ("http://localhost/", ("localhost", 80, "/", False)),
    ("http://[::1]:9000/", ("::1", 9000, "/", False)),
    ("https://8.8.8.8/x", ("8.8.8.8", 443, "/x", True)),
]
BAD = [
    "",
    "example.com/hook",
    "//example.com",
    "ftp://example.com/",
    "file:///etc/passwd",
    "gopher://127.0.0.1/",
    "https://",
    "https:///path",
    "http://example.com/",
    "http://10.0.0.1/",
    "http://127.0.0.2/",
    "http://0x7f000001/",
    "http://localhost.evil.example/",
    "https://ann:secret@example.com/",
    "https://ann@example.com/",
    "https://example.com/#part",
    "https://example.com:0/",
    "https://example.com:99999/",
    "https://example.com:x/",
    "https://[::1/",
    "https://exa mple.com/",
    "https://example..com/",
    "https://.example.com/",
    f"https://{'a' * 64}.com/",
    "https://example.com/a\r\nHost: evil",
    "https://bücher.example/",
    "https://10.1.2.3/",
    "https://172.16.0.9/",
    "https://192.168.1.1/",
    "https://169.254.169.254/latest/meta-data/",
    "https://100.64.0.1/",
    "https://0.0.0.0/",
    "https://224.0.0.1/",
    "https://255.255.255.255/",
    "https://[fe80::1]/",
    "https://[fc00::1]/",
    "https://[ff02::1]/",
    "https://[::ffff:10.0.0.1]/",
    "https://[2002:7f00:1::]/",
    "https://[64:ff9b::7f00:1]/",
    "https://[::]/",
]


@pytest.mark.parametrize(("url", "parts"), GOOD, ids=[url for url, _ in GOOD])
def test_what_may_be_called_is_read_in_parts(url: str, parts: tuple[str, int, str, bool]) -> None:
    assert web_address.fault(url) == ""
    target = web_address.parse(url)
    assert (target.host, target.port, target.path, target.is_secure) == parts


@pytest.mark.parametrize("url", BAD)
def test_everything_else_is_refused_with_a_reason(url: str) -> None:
    assert web_address.fault(url)
    with pytest.raises(web_address.ForbiddenAddress, match="must not be called"):
        web_address.parse(url)


@pytest.mark.parametrize("name", ["2130706433", "0x7f.1", "127.1", "localhost."])
def test_a_name_that_leads_to_this_machine_without_naming_it_is_refused(name: str) -> None:
    target = web_address.WebAddress(name, 443, "/", is_secure=True)
    try:
        socket.getaddrinfo(name, 443)
    except OSError:
        with pytest.raises(web_address.Unreachable):
            web_address.addresses(target)
        return
    with pytest.raises(web_address.ForbiddenAddress, match="no public address"):
        web_address.addresses(target)


def test_this_machine_may_be_called_by_its_own_names() -> None:
    for name in ("127.0.0.1", "localhost"):
        target = web_address.parse(f"http://{name}:9/")
        assert set(web_address.addresses(target)) <= {"127.0.0.1", "::1"}


def test_a_name_that_nobody_knows_may_be_known_later() -> None:
    with pytest.raises(web_address.Unreachable, match="cannot be looked up"):
        web_address.addresses(web_address.parse("https://no-such-host.invalid/"))


@pytest.mark.parametrize(
    ("url", "secret"),
    [
        ("https://example.com/runs", ""),
        ("https://example.com", ""),
        ("https://chat.example.com/services/T01/B02/s3", "/services/T01/B02/s3"),
        ("https://example.com/a?key=0123456789", "/a?key=0123456789"),
    ],
)
def test_what_a_service_knows_its_caller_by_is_told_from_an_address(url: str, secret: str) -> None:
    assert web_address.secret_part(url) == secret
    assert web_address.secret_part(url) in web_address.parse(url).path
