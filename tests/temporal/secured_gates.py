"""A Temporal server behind TLS, as Temporal Cloud is: certificates on both sides, and who calls with which key."""

from __future__ import annotations

import contextlib
import datetime as dt
import socket
import ssl
import threading
from collections.abc import Generator, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Final, NamedTuple

import engine_labs
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

SERVER_NAME: Final = "agents.a1b2c.tmprl.test"
"""The name in the certificate of the server, which is not the address that is dialled."""

_PREFACE: Final = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
_HEADERS, _CONTINUATION, _END_HEADERS, _PADDED, _PRIORITY = 1, 9, 4, 8, 32


class Files(NamedTuple):
    """A certificate and its key."""

    certificate: Path
    key: Path


class Authority:
    """Issues certificates below a folder."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir()
        self.folder = folder
        self.key = ec.generate_private_key(ec.SECP256R1())
        self.name = _named("authority")
        self.files = self._write("authority", self.key, self._builder(self.name, self.key, is_authority=True))

    def issue(self, name: str) -> Files:
        key = ec.generate_private_key(ec.SECP256R1())
        builder = self._builder(_named(name), key, is_authority=False)
        names = x509.SubjectAlternativeName([x509.DNSName(name)])
        return self._write(name, key, builder.add_extension(names, critical=False))

    def _builder(
        self, subject: x509.Name, key: ec.EllipticCurvePrivateKey, *, is_authority: bool
    ) -> x509.CertificateBuilder:
        now = dt.datetime.now(dt.UTC)
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self.name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - dt.timedelta(days=1))
            .not_valid_after(now + dt.timedelta(days=1))
            .add_extension(x509.BasicConstraints(ca=is_authority, path_length=None), critical=True)
        )

    def _write(self, name: str, key: ec.EllipticCurvePrivateKey, builder: x509.CertificateBuilder) -> Files:
        files = Files(self.folder / f"{name}.pem", self.folder / f"{name}.key")
        form = serialization.Encoding.PEM
        files.certificate.write_bytes(builder.sign(self.key, hashes.SHA256()).public_bytes(form))
        files.key.write_bytes(key.private_bytes(form, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()))
        return files


def _named(name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])


class Gate:
    """Takes TLS connections with a client certificate, and passes on what they say; `calls` are headers by method."""

    def __init__(self, server: engine_labs.Server, authority: Authority) -> None:
        self.server = server
        self.authority = authority
        self.client = authority.issue("client")
        self.calls: list[Mapping[str, str]] = []
        self.port = engine_labs.free_port()
        own = authority.issue(SERVER_NAME)
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._context.load_cert_chain(own.certificate, own.key)
        self._context.load_verify_locations(authority.files.certificate)
        self._context.verify_mode = ssl.CERT_REQUIRED
        self._context.set_alpn_protocols(["h2"])
        self._listener = socket.create_server(("127.0.0.1", self.port))
        threading.Thread(target=self._listen, daemon=True).start()

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    @property
    def env(self) -> dict[str, str]:
        """Returns Temporal's own variables for who may come in, but for a key."""
        return {
            "TEMPORAL_ADDRESS": self.address,
            "TEMPORAL_TLS_SERVER_NAME": SERVER_NAME,
            "TEMPORAL_TLS_SERVER_CA_CERT_PATH": str(self.authority.files.certificate),
            "TEMPORAL_TLS_CLIENT_CERT_PATH": str(self.client.certificate),
            "TEMPORAL_TLS_CLIENT_KEY_PATH": str(self.client.key),
        }

    def close(self) -> None:
        self._listener.close()

    def _listen(self) -> None:
        with contextlib.suppress(OSError):  # it is closed
            while True:
                raw, _ = self._listener.accept()
                threading.Thread(target=self._serve, args=(raw,), daemon=True).start()

    def _serve(self, raw: socket.socket) -> None:
        with (
            contextlib.suppress(OSError),
            raw,
            self._context.wrap_socket(raw, server_side=True) as outer,
            socket.create_connection(("127.0.0.1", self.server.port)) as inner,
        ):
            threading.Thread(target=_pump, args=(inner, outer), daemon=True).start()
            reader = _CallReader(self.calls)
            while data := outer.recv(65_536):
                reader.feed(data)
                inner.sendall(data)


def _pump(source: socket.socket, sink: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while data := source.recv(65_536):
            sink.sendall(data)
        sink.shutdown(socket.SHUT_RDWR)


class _CallReader:
    """Reads the headers of each call that passes."""

    def __init__(self, calls: list[Mapping[str, str]]) -> None:
        hpack = pytest.importorskip("hpack", reason="`make test-scale` installs it")
        self.calls = calls
        self.decoder = hpack.Decoder()
        self.decoder.max_allowed_table_size = 2**20
        self.data = b""
        self.block = b""

    def feed(self, data: bytes) -> None:
        self.data = (self.data + data).removeprefix(_PREFACE)
        for kind, flags, payload in self._frames():
            if kind == _HEADERS:
                padding = payload[0] if flags & _PADDED else 0
                begin = (1 if flags & _PADDED else 0) + (5 if flags & _PRIORITY else 0)
                self.block = payload[begin : len(payload) - padding]
            elif kind == _CONTINUATION:
                self.block += payload
            if kind in (_HEADERS, _CONTINUATION) and flags & _END_HEADERS:
                self.calls.append(dict(self.decoder.decode(self.block)))

    def _frames(self) -> Iterator[tuple[int, int, bytes]]:
        while len(self.data) >= 9 and not _PREFACE.startswith(self.data):
            end = 9 + int.from_bytes(self.data[:3])
            if len(self.data) < end:
                return
            kind, flags, payload = self.data[3], self.data[4], self.data[9:end]
            self.data = self.data[end:]
            yield kind, flags, payload


@contextmanager
def guarding(server: engine_labs.Server, folder: Path) -> Generator[Gate]:
    """Yields a gate before a server."""
    gate = Gate(server, Authority(folder))
    try:
        yield gate
    finally:
        gate.close()
