"""Alerts by HTTP: what is sent, how it is signed, where it never goes."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import logging
import socket
import stat
import threading
from collections.abc import Iterator
from pathlib import Path

import alert_receiver
import anyio
import pytest

from dispatch_mcp import errors
from dispatch_mcp.alerts import alert_words, channels, webhook
from dispatch_mcp.process import web_address
from dispatch_mcp.store.outbox import alert_box

pytestmark = pytest.mark.anyio
RUN = f"rotate-stripe-keys-{'7d2f' * 8}"
ALERT = alert_box.Alert(
    7,
    RUN,
    "finished",
    1_764_428_531.482,
    {"state": "succeeded", "tasks": {"succeeded": 3}, "project": "shop"},
    "Rotate",
)


@pytest.fixture
def receiver() -> Iterator[alert_receiver.Receiver]:
    with alert_receiver.receiving() as started:
        yield started


async def tell(home: Path, url: str, now: float = 1_764_428_600.7) -> None:
    with anyio.fail_after(120):
        await webhook.WebhookChannel(url, home, lambda: now).tell(ALERT)


async def test_an_alert_is_signed_so_that_a_receiver_can_check_it(
    tmp_path: Path, receiver: alert_receiver.Receiver
) -> None:
    await tell(tmp_path, receiver.url)
    (delivery,) = receiver.deliveries
    secret = base64.b64decode(webhook.key(tmp_path).removeprefix("whsec_"))
    at = delivery.headers["webhook-timestamp"]
    text = f"{delivery.id}.{at}.".encode() + delivery.body
    expected = base64.b64encode(hmac.new(secret, text, hashlib.sha256).digest()).decode()
    assert delivery.headers["webhook-signature"] == f"v1,{expected}"
    assert (at, delivery.path) == ("1764428600", "/runs?key=1")
    assert delivery.headers["host"] == f"127.0.0.1:{receiver.port}"
    assert delivery.headers["content-type"] == "application/json"


async def test_nothing_of_a_request_and_no_path_leaves_the_machine(
    tmp_path: Path, receiver: alert_receiver.Receiver
) -> None:
    await tell(tmp_path, receiver.url)
    (delivery,) = receiver.deliveries
    assert delivery.document == {
        "id": f"{'7d2f' * 8}-7",
        "kind": "finished",
        "at": "2025-11-29T15:02:11.482Z",
        "run": "7d2f7d2f",
        "state": "succeeded",
        "tasks": {"succeeded": 3},
        "project": "shop",
    }
    whole = json.dumps(delivery.headers).lower().encode() + delivery.body.lower()
    assert all(word not in whole for word in (b"rotate", b"stripe", str(tmp_path).encode()))


async def test_a_second_try_has_the_same_id_and_body_and_a_time_of_its_own(
    tmp_path: Path, receiver: alert_receiver.Receiver
) -> None:
    receiver.answers = [500]
    with pytest.raises(channels.NotTold, match="answered 500"):
        await tell(tmp_path, receiver.url, 100)
    await tell(tmp_path, receiver.url, 200)
    first, second = receiver.deliveries
    assert (first.id, first.body) == (second.id, second.body)
    assert [first.headers["webhook-timestamp"], second.headers["webhook-timestamp"]] == ["100", "200"]
    assert first.headers["webhook-signature"] != second.headers["webhook-signature"]


@pytest.mark.parametrize("status", [301, 302, 307, 308])
async def test_a_redirect_is_not_followed(tmp_path: Path, receiver: alert_receiver.Receiver, status: int) -> None:
    receiver.answers, receiver.location = [status], receiver.url
    with pytest.raises(channels.NotTold, match="redirects are not followed"):
        await tell(tmp_path, receiver.url)
    assert len(receiver.deliveries) == 1


@pytest.mark.parametrize(
    ("status", "trouble"),
    [
        *[(status, channels.NeverTold) for status in (400, 410, 413, 422)],
        *[(status, channels.NotTold) for status in (401, 404, 408, 429, 500, 503)],
    ],
)
async def test_only_what_is_wrong_with_the_alert_itself_is_given_up(
    tmp_path: Path, receiver: alert_receiver.Receiver, status: int, trouble: type[Exception]
) -> None:
    receiver.answers = [status]
    with pytest.raises(trouble, match=str(status)):
        await tell(tmp_path, receiver.url)


@pytest.mark.parametrize("url", ["https://10.0.0.1/", "http://example.com/", "https://ann:pw@example.com/"])
async def test_where_nothing_may_be_sent_nothing_is_tried_twice(tmp_path: Path, url: str) -> None:
    with pytest.raises(channels.NeverTold, match="must not be called"):
        await tell(tmp_path, url)


async def test_a_receiver_that_is_not_there_is_tried_again(tmp_path: Path) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
    with pytest.raises(channels.NotTold, match="cannot be reached"):
        await tell(tmp_path, f"http://127.0.0.1:{port}/")


async def test_a_receiver_that_speaks_no_http_is_tried_again(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def babble() -> None:
            client, _ = listener.accept()
            with client:
                client.recv(65536)
                client.sendall(b"220 smtp.example ESMTP\r\n")

        thread = threading.Thread(target=babble)
        thread.start()
        with pytest.raises(channels.NotTold, match="cannot be reached"):
            await tell(tmp_path, f"http://127.0.0.1:{listener.getsockname()[1]}/")
        thread.join()


async def test_a_certificate_is_wanted_where_tls_is(tmp_path: Path, receiver: alert_receiver.Receiver) -> None:
    with pytest.raises(channels.NotTold, match="cannot be reached"):
        await tell(tmp_path, receiver.url.replace("http:", "https:"))
    assert receiver.deliveries == []


def test_the_key_is_one_for_all_processes_and_private(tmp_path: Path) -> None:
    home = tmp_path / "home"
    keys: list[str] = []
    threads = [threading.Thread(target=lambda: keys.append(webhook.key(home))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(keys)) == 1
    assert len(base64.b64decode(keys[0].removeprefix(webhook.PREFIX))) == 32
    assert stat.S_IMODE((home / webhook.KEY_FILE).stat().st_mode) == 0o600
    assert sorted(path.name for path in home.iterdir()) == [webhook.KEY_FILE]


def test_a_key_that_cannot_be_read_says_so(tmp_path: Path) -> None:
    (tmp_path / webhook.KEY_FILE).write_bytes(b"\xff\xfe")
    with pytest.raises(errors.ConfigError, match="cannot be used"):
        webhook.key(tmp_path)


@pytest.mark.parametrize(
    "text", ["", "\n", "whsec_", "whsec_abc\n", "whsec_a=b\n", f"{base64.b64encode(b'k' * 32).decode()}\n"]
)
async def test_a_file_that_holds_no_key_signs_nothing_and_the_alert_is_tried_again(tmp_path: Path, text: str) -> None:
    (tmp_path / webhook.KEY_FILE).write_text(text)
    with pytest.raises(errors.ConfigError, match="holds no key"):
        webhook.key(tmp_path)
    with pytest.raises(channels.NotTold, match="holds no key"):
        await tell(tmp_path, "http://127.0.0.1:9/")
    assert (tmp_path / webhook.KEY_FILE).read_text() == text


async def test_the_key_stands_in_no_log_and_no_request(
    tmp_path: Path, receiver: alert_receiver.Receiver, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    await tell(tmp_path, receiver.url)
    secret = webhook.key(tmp_path).removeprefix(webhook.PREFIX)
    assert secret not in caplog.text
    assert secret not in json.dumps(receiver.deliveries[0].headers) + receiver.deliveries[0].body.decode()


def test_the_document_is_bounded() -> None:
    body = {"state": "partial", "tasks": dict.fromkeys(["a" * 10] * 9, 10_000), "project": "\N{GRINNING FACE}" * 100}
    assert len(alert_words.document(alert_box.Alert(1, RUN, "finished", 0.0, body))) <= alert_words.MOST_BYTES


def test_a_target_without_an_address_is_unreachable() -> None:
    target = web_address.WebAddress("no-such-host.invalid", 443, "/", is_secure=True)
    with pytest.raises(web_address.Unreachable):
        webhook.post(target, b"{}", {})
