"""A collector: the agent of another host, behind something that speaks TLS for it and breaks when it is told to."""

from __future__ import annotations

import contextlib
import datetime
import hashlib
import http.client
import ipaddress
import os
import signal
import ssl
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from agents import DEADLINE_S
from indelible import _agent
from trails import BINARY

TOKEN: Final = "a-token-of-the-clinic"
SERVICE: Final = "tests"


class Host:
    """Another host with its own data directory, whose agent takes outboxes."""

    def __init__(self, data_dir: Path) -> None:
        self.data_dir = data_dir
        self.agent: subprocess.Popen[bytes] | None = None
        data_dir.mkdir(mode=0o700)
        digest = hashlib.sha256(TOKEN.encode()).hexdigest()
        (data_dir / "config.toml").write_text(f'[[collector]]\nservice = "{SERVICE}"\ntoken_sha256 = "{digest}"\n')

    def start(self, failpoint: str | None = None) -> None:
        """Starts an agent; with a failpoint, one that is killed there."""
        env = {**os.environ, **({"INDELIBLE_FAILPOINT": failpoint} if failpoint else {})}
        command = [str(BINARY), "--data", str(self.data_dir), "serve", "--listen", "127.0.0.1:0"]
        with (self.data_dir / "agent.log").open("ab") as log:
            self.agent = subprocess.Popen(command, stdout=log, stderr=log, env=env)
        deadline = time.monotonic() + DEADLINE_S
        # What a killed one has left names another process.
        while (self._description() or {}).get("pid") != self.agent.pid:
            assert self.agent.poll() is None, (self.data_dir / "agent.log").read_text()
            assert time.monotonic() < deadline, "the agent does not announce itself"
            time.sleep(0.02)

    def kill(self) -> None:
        assert self.agent is not None
        self.agent.kill()
        self.agent.wait(DEADLINE_S)

    def has_been_killed(self) -> bool:
        return self.agent is not None and self.agent.poll() == -signal.SIGKILL

    def stop(self) -> None:
        if self.agent is not None and self.agent.poll() is None:
            self.agent.terminate()
            self.agent.wait(DEADLINE_S)

    @property
    def address(self) -> str:
        """Where it listens; whoever asks while it is down gets the last one."""
        return str((self._description() or {"address": "127.0.0.1:9"})["address"])

    @property
    def token(self) -> str:
        """The one that opens the trail, and no outbox."""
        return str((self._description() or {})["token"])

    def _description(self) -> dict[str, Any] | None:
        return _agent.description(self.data_dir)


class Front:
    """Passes requests on to a host, over TLS. ``fault`` says of each, by method and path, what becomes of it: nothing unusual, ``"question"`` never
    arrives, ``"answer"`` is never heard, ``"twice"`` it arrives two times and the second answer is passed on.
    """

    def __init__(self, host: Host, tls: ssl.SSLContext) -> None:
        self.fault: Callable[[str, str], str | None] = lambda method, path: None
        front = self

        class Handler(BaseHTTPRequestHandler):
            timeout = DEADLINE_S

            def do_GET(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                fault = front.fault(self.command, self.path)
                if fault == "question":
                    return
                try:
                    passed = [self._pass_on(body) for _ in range(2 if fault == "twice" else 1)]
                except (OSError, http.client.HTTPException):
                    self.send_error(502)
                    return
                if fault == "answer":
                    return
                status, headers, answer = passed[-1]
                self.send_response_only(status)
                for name in ("Content-Type", "ETag"):
                    if name in headers:
                        self.send_header(name, headers[name])
                if status not in (204, 304):
                    self.send_header("Content-Length", str(len(answer)))
                self.end_headers()
                self.wfile.write(answer)

            do_POST = do_DELETE = do_GET

            def _pass_on(self, body: bytes) -> tuple[int, Any, bytes]:
                return ask(host, self.command, self.path, body, dict(self.headers.items()))

            def log_message(self, format: str, *arguments: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        # Each handshake is for the thread of its connection.
        self._server.socket = tls.wrap_socket(self._server.socket, server_side=True, do_handshake_on_connect=False)
        self.url = f"https://127.0.0.1:{self._server.server_address[1]}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(DEADLINE_S)


def ask(host: Host, method: str, path: str, body: bytes = b"", headers: dict[str, str] | None = None) -> tuple[int, Any, bytes]:
    """Asks the agent itself."""
    connection = http.client.HTTPConnection(host.address, timeout=DEADLINE_S)
    with contextlib.closing(connection):
        sent = {name: value for name, value in (headers or {}).items() if name.lower() not in ("host", "connection", "content-length")}
        connection.request(method, path, body=body or None, headers=sent)
        response = connection.getresponse()
        return response.status, response.headers, response.read()


@contextmanager
def collector(folder: Path) -> Iterator[tuple[Host, Front]]:
    """A host whose agent has been started, and what stands before it."""
    host = Host(folder / "host")
    host.start()
    front = Front(host, server_tls(folder))
    try:
        yield host, front
    finally:
        front.close()
        host.stop()


def server_tls(folder: Path) -> ssl.SSLContext:
    """TLS with a certificate of its own, which is put into ``folder`` as ``trusted.pem``."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "a collector")])
    now = datetime.datetime.now(datetime.timezone.utc)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    secret = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    trusted, own = folder / "trusted.pem", folder / "own.pem"
    trusted.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    own.write_bytes(secret + trusted.read_bytes())
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(own)
    return context
