"""Debian's docker-registry on a free loopback port: plain, htpasswd, Bearer token, with or without TLS."""

import contextlib
import json
import os
import re
import ssl
import subprocess
import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from http.client import HTTPConnection, HTTPSConnection
from pathlib import Path
from typing import Any, Literal

import trustme

from tests.support.artifact import Artifact
from tests.support.isolation import need
from tests.support.push import Authorization, Pusher, basic
from tests.support.token_service import ISSUER, SERVICE, TokenService

USERS = {"reader": "pass:word", "zoë": "pässwörd ✓", "pusher": "pushes"}
"""The users of the htpasswd and the token registry; a colon and non-ASCII letters are there on purpose."""

IDENTITY_TOKENS = {"identity-token-of-reader": "reader"}
"""Refresh tokens that the token registry's service knows."""

HTPASSWD = """\
reader:$2y$04$N/0aGH5ClSr0Zwt7.1gC5e0WokaPblhAY6WS..OCF4AEbbf41CpLm
zoë:$2y$04$e7KowzWp4nfqoHYQcfO9yeNk3Z/nqCcz7.i11n7l2aSGL9ht9S/UG
pusher:$2y$04$iBJkpUEZ6TaCq67uJX3KGuW7YJm5dmlCAXGwCCC8cASrQfOyh.2.W
"""
_ACCESS = re.compile(r'^\S+ - (.*?) \[[^]]+\] "([A-Z]+) (\S+) HTTP/[\d.]+" (\d+) (\d+) "(.*?)" "(.*?)"$')


@dataclass(frozen=True)
class AccessRecord:
    """One line of the registry's own access log."""

    method: str
    target: str
    status: int
    body_bytes: int

    @property
    def line(self) -> str:
        """``METHOD /path status``, for comparing with literal text."""
        return f"{self.method} {self.target} {self.status}"


@dataclass
class RegistryServer:
    """A running docker-registry."""

    name: str
    access_log: Path
    tls: bool = False
    ca_file: Path | None = None
    users: dict[str, str] = field(default_factory=dict)
    token_service: TokenService | None = None

    def push(self, *artifacts: Artifact) -> list[str]:
        """Push artifacts by the independent pusher with the rights of ``pusher``; return their digests."""
        with self.pusher() as pusher:
            return [pusher.push(artifact) for artifact in artifacts]

    def pushed(self, artifact: Artifact, **options: bool) -> str:
        """Push an artifact; its reference here."""
        self.push(artifact)
        return self.reference(artifact, **options)

    def pusher(self) -> Pusher:
        """Return a pusher (also a reader) with all rights."""
        authorization: Authorization = None
        if self.token_service is not None:
            service = self.token_service
            authorization = lambda repository: service.bearer("pusher", repository)  # noqa: E731
        elif self.users:
            authorization = basic("pusher", self.users["pusher"])
        return Pusher(self.name, tls=self._context(), authorization=authorization)

    def reference(self, artifact: Artifact, **options: bool) -> str:
        """Return the reference of an artifact here; options as ``Artifact.reference``."""
        return artifact.reference(self.name, **options)

    @contextmanager
    def recording(self) -> Iterator[list[AccessRecord]]:
        """Collect what the registry logs within the ``with`` block; the list is filled at its end.

        A request of our own marks the end, so that nothing is missed that was answered before it.
        """
        records: list[AccessRecord] = []
        start = self.access_log.stat().st_size
        yield records
        mark = f"/v2/?end={uuid.uuid4().hex}"
        self._bare_get(mark)
        lines = self._lines_until(start, mark)
        matches = [match for line in lines if (match := _ACCESS.match(line))]
        records += [AccessRecord(m[2], m[3], int(m[4]), int(m[5])) for m in matches if m[3] != mark]

    def _lines_until(self, start: int, mark: str) -> list[str]:
        """Return the lines of the access log from a position on, once the mark is in it."""
        deadline = time.monotonic() + 5
        while time.monotonic() < deadline:
            with self.access_log.open("rb") as log:
                log.seek(start)
                text = log.read().decode()
            if mark in text and text.endswith("\n"):
                return text.splitlines()
            time.sleep(0.005)
        raise AssertionError(f"docker-registry did not log {mark}")

    def _bare_get(self, target: str) -> None:
        context = self._context()
        connection = (
            HTTPConnection(self.name, timeout=5)
            if context is None
            else HTTPSConnection(self.name, timeout=5, context=context)
        )
        with contextlib.closing(connection):
            connection.request("GET", target)
            connection.getresponse().read()

    def _context(self) -> ssl.SSLContext | None:
        return ssl.create_default_context(cafile=str(self.ca_file)) if self.tls else None


@contextmanager
def start_registry(
    folder: Path,
    *,
    auth: Literal["none", "basic", "token"] = "none",
    ca: trustme.CA | None = None,
    binary: str | None = None,
    settings: Mapping[str, Any] | None = None,
) -> Iterator[RegistryServer]:
    """Run a docker-registry until the end of the ``with`` block."""
    binary = binary or need("docker-registry")
    config: dict[str, Any] = {
        "version": 0.1,
        "log": {"level": "info", "accesslog": {"disabled": False}},
        "storage": {
            "filesystem": {"rootdirectory": str(folder / "storage")},
            "delete": {"enabled": True},
            "maintenance": {"uploadpurging": {"enabled": False}},
        },
        "http": {"addr": "127.0.0.1:0", "secret": "of the tests"},
        **(settings or {}),
    }
    server = RegistryServer("", folder / "access.log")
    with ExitStack() as stack:
        if ca is not None:
            server.tls, server.ca_file = True, folder / "ca.pem"
            config["http"]["tls"] = _write_tls(folder, ca)
        if auth == "token":
            service = stack.enter_context(TokenService(USERS, IDENTITY_TOKENS))
            server.token_service, server.users = service, dict(USERS)
            (folder / "token.pem").write_bytes(service.signer.authority_pem)
            names = {"realm": service.realm, "service": SERVICE, "issuer": ISSUER}
            config["auth"] = {"token": {**names, "rootcertbundle": str(folder / "token.pem")}}
        elif auth == "basic":
            server.users = dict(USERS)
            (folder / "htpasswd").write_text(HTPASSWD)
            config["auth"] = {"htpasswd": {"realm": "the tests", "path": str(folder / "htpasswd")}}
        (folder / "config.yml").write_text(json.dumps(config))  # JSON is YAML
        server.name = stack.enter_context(process([binary, "serve", str(folder / "config.yml")], folder))
        yield server


def _write_tls(folder: Path, ca: trustme.CA) -> dict[str, str]:
    """Issue a certificate and return docker-registry's settings for it."""
    issued = ca.issue_cert("127.0.0.1", "localhost")
    ca.cert_pem.write_to_path(str(folder / "ca.pem"))
    issued.private_key_pem.write_to_path(str(folder / "key.pem"))
    issued.cert_chain_pems[0].write_to_path(str(folder / "cert.pem"))
    return {"certificate": str(folder / "cert.pem"), "key": str(folder / "key.pem")}


@contextmanager
def process(command: Sequence[str], folder: Path) -> Iterator[str]:
    """Run a registry and give its address, which it logs; end it and wait for it afterwards."""
    environment = {"PATH": os.environ["PATH"], "HOME": str(folder), "OTEL_TRACES_EXPORTER": "none"}
    log, access = (folder / "registry.log"), (folder / "access.log")
    with log.open("wb") as err, access.open("wb") as out:
        running = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=out, stderr=err, env=environment)
    try:
        yield _address(running, log, access)
    finally:
        running.terminate()
        try:
            running.wait(5)
        except subprocess.TimeoutExpired:
            running.kill()
            running.wait(5)


def _address(running: "subprocess.Popen[bytes]", *logs: Path) -> str:
    deadline, said = time.monotonic() + 10, ""
    while time.monotonic() < deadline and running.poll() is None:
        said = "".join(log.read_text() for log in logs)
        if found := re.search(r"(?:listening on 127\.0\.0\.1:|serving on port )(\d+)", said):
            return f"127.0.0.1:{found[1]}"
        time.sleep(0.005)
    raise AssertionError(f"the registry did not start:\n{said}")
