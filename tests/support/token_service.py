"""A token service as docker-registry's ``auth: token`` wants one: signed JWTs, GET and the OAuth2 POST.

Follows "Token Authentication Specification" and "Oauth2 Token Authentication" of the Docker distribution
project. The certificate in the JWT's ``x5c`` header is what docker-registry trusts (``rootcertbundle``).
"""

import base64
import binascii
import datetime as dt
import hmac
import json
import secrets
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Literal
from urllib.parse import parse_qs, urlsplit

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature

SERVICE, ISSUER = "test registry, with a comma", "test issuer"


def allowed(user: str | None, repository: str) -> set[str]:
    """Allow ``pusher`` everything, other users to pull, anybody to pull below ``public/``."""
    if user == "pusher":
        return {"pull", "push"}
    return {"pull"} if user is not None or repository.startswith("public/") else set()


@dataclass
class TokenSettings:
    """What a test may change about the answers."""

    token_field: Literal["token", "access_token", "both"] = "both"
    expires_in: int | None = 300
    lifetime: int = 300


@dataclass(frozen=True)
class TokenRequest:
    """One request to the token service, and what became of it."""

    method: str
    target: str
    headers: Mapping[str, str]
    parameters: Mapping[str, list[str]]
    status: int
    user: str | None
    granted: tuple[str, ...]

    @property
    def scopes(self) -> list[str]:
        """The scopes asked for, several in one parameter split at spaces."""
        return [scope for text in self.parameters.get("scope", []) for scope in text.split()]


class Signer:
    """A key with its self-signed certificate that signs JWTs by ES256."""

    def __init__(self) -> None:
        self._key = ec.generate_private_key(ec.SECP256R1())
        name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "token service of the tests")])
        now = dt.datetime.now(dt.UTC)
        self._certificate = (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(name)
            .public_key(self._key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - dt.timedelta(hours=1))
            .not_valid_after(now + dt.timedelta(days=1))
            .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
            .sign(self._key, hashes.SHA256())
        )

    @property
    def certificate_pem(self) -> bytes:
        return self._certificate.public_bytes(serialization.Encoding.PEM)

    def sign(self, claims: Mapping[str, Any]) -> str:
        """Return the compact JWT of some claims."""
        der = self._certificate.public_bytes(serialization.Encoding.DER)
        header = {"typ": "JWT", "alg": "ES256", "x5c": [base64.b64encode(der).decode()]}
        signed = b".".join(_base64url(json.dumps(part).encode()) for part in (header, claims))
        r, s = decode_dss_signature(self._key.sign(signed, ec.ECDSA(hashes.SHA256())))
        return b".".join([signed, _base64url(r.to_bytes(32, "big") + s.to_bytes(32, "big"))]).decode()


class TokenService:
    """The service on loopback; use it as a context manager."""

    def __init__(self, users: Mapping[str, str], identity_tokens: Mapping[str, str]) -> None:
        self.users, self.identity_tokens = dict(users), dict(identity_tokens)
        self.signer = Signer()
        self.settings = TokenSettings()
        self.requests: list[TokenRequest] = []
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self._server.daemon_threads = False
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02})

    @property
    def realm(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}/token"

    def __enter__(self) -> "TokenService":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._thread.join(10)
        self._server.server_close()

    def reset(self) -> None:
        self.settings = TokenSettings()
        self.requests.clear()

    def issue(
        self, user: str | None, scopes: list[str], lifetime: int | None = None
    ) -> tuple[str, list[str]]:
        """Return a JWT for what the policy grants of the scopes, and the granted scopes."""
        access, granted = [], []
        for scope in scopes:
            kind, _, rest = scope.partition(":")
            repository, _, wanted = rest.rpartition(":")
            actions = sorted(set(wanted.split(",")) & allowed(user, repository))
            if kind == "repository" and actions:
                access.append({"type": kind, "name": repository, "actions": actions})
                granted.append(f"{kind}:{repository}:{','.join(actions)}")
        now = int(time.time())
        claims = {"iss": ISSUER, "sub": user or "", "aud": SERVICE, "jti": secrets.token_hex(8)}
        times = {
            "exp": now + (self.settings.lifetime if lifetime is None else lifetime),
            "nbf": now - 5,
            "iat": now,
        }
        return self.signer.sign({**claims, **times, "access": access}), granted

    def bearer(self, user: str, repository: str, actions: str = "pull,push") -> str:
        """Return an Authorization value directly, without a request; for pushing in tests."""
        token, _ = self.issue(user, [f"repository:{repository}:{actions}"], 300)
        return f"Bearer {token}"

    def check_basic(self, header: str) -> str | None:
        """Return the user of a valid Basic header, else ``None``."""
        kind, _, encoded = header.partition(" ")
        try:
            user, _, password = base64.b64decode(encoded, validate=True).decode().partition(":")
        except (binascii.Error, UnicodeDecodeError):
            return None
        known = self.users.get(user, "").encode()
        right = user in self.users and hmac.compare_digest(known, password.encode())
        return user if kind.lower() == "basic" and right else None


def _handler(service: TokenService) -> type[BaseHTTPRequestHandler]:

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        timeout = 10

        def do_GET(self) -> None:
            parameters = parse_qs(urlsplit(self.path).query)
            header = self.headers.get("Authorization")
            user = service.check_basic(header) if header else None
            self._answer(parameters, user, denied=header is not None and user is None)

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", "0")))
            parameters = parse_qs(body.decode())
            grant = parameters.get("grant_type", [""])[0]
            user = None
            if grant == "refresh_token":
                user = service.identity_tokens.get(parameters.get("refresh_token", [""])[0])
            self._answer(parameters, user, denied=user is None)

        def _answer(self, parameters: dict[str, list[str]], user: str | None, *, denied: bool) -> None:
            status = 401 if denied else 200
            scopes = [scope for text in parameters.get("scope", []) for scope in text.split()]
            token, granted = service.issue(user, scopes) if status == 200 else ("", [])
            headers = {name.lower(): value for name, value in self.headers.items()}
            fate = (status, user, tuple(granted))
            service.requests.append(TokenRequest(self.command, self.path, headers, parameters, *fate))
            body = _document(service.settings, status, token)
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.send_header("Connection", "close")
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            """Stay quiet."""

    return Handler


def _document(settings: TokenSettings, status: int, token: str) -> bytes:
    if status != 200:
        error = {"code": "UNAUTHORIZED", "message": "incorrect username or password", "detail": None}
        return json.dumps({"errors": [error]}).encode()
    names = {"both": ("token", "access_token")}.get(settings.token_field, (settings.token_field,))
    answer: dict[str, Any] = dict.fromkeys(names, token)
    if settings.expires_in is not None:
        answer["expires_in"] = settings.expires_in
    answer["issued_at"] = dt.datetime.now(dt.UTC).isoformat().replace("+00:00", "Z")
    return json.dumps(answer).encode()


def _base64url(data: bytes) -> bytes:
    return base64.urlsafe_b64encode(data).rstrip(b"=")
