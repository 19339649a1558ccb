"""A company's network, for the examples of docs/network.md: a proxy, behind which a server stands.

The server's certificate is signed by an authority that only the company knows.
"""

import datetime as dt
import os
import socket
import socketserver
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from qwen_vl_sandbox import Sandbox

HOST = "vision.example.com"
_Signer = tuple[x509.Certificate, ec.EllipticCurvePrivateKey]


class CompanyProxy(socketserver.ThreadingTCPServer):
    """Answers `CONNECT` with the server of the company, whatever the host.

    Args:
        context: The server's certificate.
        port: Of the sandbox that answers as the server.
    """

    daemon_threads = True
    block_on_close = False

    def __init__(self, context: ssl.SSLContext, port: int) -> None:
        self.context = context
        self.port = port
        self.connected: list[str] = []
        super().__init__(("127.0.0.1", 0), _Handler)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"


class _Handler(socketserver.BaseRequestHandler):
    server: CompanyProxy

    def handle(self) -> None:
        head = self.request.recv(65536).decode()
        self.server.connected.append(head.splitlines()[0])
        self.request.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
        # A client that does not trust the certificate hangs up.
        with (
            suppress(OSError),
            self.server.context.wrap_socket(self.request, server_side=True) as client,
            socket.create_connection(("127.0.0.1", self.server.port)) as server,
        ):
            back = threading.Thread(target=_pipe, args=(server, client), daemon=True)
            back.start()
            _pipe(client, server)
            back.join()


def _pipe(source: socket.socket, target: socket.socket) -> None:
    with suppress(OSError):
        while data := source.recv(65536):
            target.sendall(data)
        target.shutdown(socket.SHUT_WR)


@contextmanager
def serve_company_network(folder: Path) -> Iterator[CompanyProxy]:
    """Serve until the block ends; `COMPANY_PROXY` in the environment is the proxy's URL.

    Args:
        folder: Gets `corporate-ca.pem`, the certificate of the authority.
    """
    authority = _make_certificate("Corporate CA")
    leaf, leaf_key = _make_certificate(HOST, authority)
    pem = serialization.Encoding.PEM
    (folder / "corporate-ca.pem").write_bytes(authority[0].public_bytes(pem))
    key = leaf_key.private_bytes(
        pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    (folder / "server.pem").write_bytes(key + leaf.public_bytes(pem))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "server.pem")
    with (
        Sandbox(allowed_hosts=[HOST]) as sandbox,
        CompanyProxy(context, _port(sandbox.base_url)) as proxy,
    ):
        threading.Thread(target=proxy.serve_forever, daemon=True).start()
        os.environ["COMPANY_PROXY"] = proxy.url
        try:
            yield proxy
        finally:
            del os.environ["COMPANY_PROXY"]
            proxy.shutdown()


def _port(url: str) -> int:
    return int(url.split(":")[2].partition("/")[0])


def _make_certificate(name: str, issuer: _Signer | None = None) -> _Signer:
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = dt.datetime.now(dt.UTC)
    builder = (
        x509.CertificateBuilder(issuer[0].subject if issuer else subject, subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=1))
    )
    # Python 3.13 rejects certificates without them.
    extensions: list[tuple[Any, bool]] = [
        (x509.BasicConstraints(ca=issuer is None, path_length=None), True),
        (x509.SubjectKeyIdentifier.from_public_key(key.public_key()), False),
        (x509.SubjectAlternativeName([x509.DNSName(name)]), False),
    ]
    if issuer is None:
        signs = dict.fromkeys(("key_cert_sign", "crl_sign"), True)
        others = ("content_commitment", "key_encipherment", "data_encipherment", "key_agreement")
        others = (*others, "encipher_only", "decipher_only", "digital_signature")
        extensions.append((x509.KeyUsage(**signs, **dict.fromkeys(others, False)), True))
    else:
        signer = issuer[1].public_key()
        extensions.append((x509.AuthorityKeyIdentifier.from_issuer_public_key(signer), False))
    for extension, is_critical in extensions:
        builder = builder.add_extension(extension, critical=is_critical)
    return builder.sign(issuer[1] if issuer else key, hashes.SHA256()), key
