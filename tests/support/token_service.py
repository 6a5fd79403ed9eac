"""A token service as docker-registry's ``auth: token`` wants one: signed JWTs, GET and the OAuth2 POST.

Follows "Token Authentication Specification" and "Oauth2 Token Authentication" of the Docker distribution
project. The certificate in the JWT's ``x5c`` header is what docker-registry trusts (``rootcertbundle``).
"""

import base64
import datetime as dt
import json
import secrets
import ssl
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal
from urllib.parse import parse_qs

import trustme
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature

from tests.support.behaviours import Call, error, json_reply
from tests.support.hostile import HostileServer
from tests.support.push import basic

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
    parameters: Mapping[str, list[str]]
    status: int
    user: str | None

    @property
    def scopes(self) -> list[str]:
        """The scopes asked for, several in one parameter split at spaces."""
        return [scope for text in self.parameters.get("scope", []) for scope in text.split()]


class Signer:
    """A key with a certificate of its own authority that signs JWTs by ES256."""

    def __init__(self) -> None:
        authority = trustme.CA()
        issued = authority.issue_cert("token-service.test")
        self.authority_pem = authority.cert_pem.bytes()
        self._key = serialization.load_pem_private_key(issued.private_key_pem.bytes(), password=None)
        self._certificate = ssl.PEM_cert_to_DER_cert(issued.cert_chain_pems[0].bytes().decode())

    def sign(self, claims: Mapping[str, Any]) -> str:
        """Return the compact JWT of some claims."""
        header = {"typ": "JWT", "alg": "ES256", "x5c": [base64.b64encode(self._certificate).decode()]}
        signed = b".".join(_base64url(json.dumps(part).encode()) for part in (header, claims))
        r, s = decode_dss_signature(self._key.sign(signed, ec.ECDSA(hashes.SHA256())))
        return b".".join([signed, _base64url(r.to_bytes(32, "big") + s.to_bytes(32, "big"))]).decode()


class TokenService:
    """The service on loopback; use it as a context manager."""

    def __init__(self, users: Mapping[str, str], identity_tokens: Mapping[str, str]) -> None:
        self.users = {basic(user, password): user for user, password in users.items()}
        self.identity_tokens = dict(identity_tokens)
        self.signer = Signer()
        self.settings = TokenSettings()
        self.requests: list[TokenRequest] = []
        self._server = HostileServer()
        self._server.always("/token", self)

    @property
    def realm(self) -> str:
        return f"{self._server.url}/token"

    def __enter__(self) -> "TokenService":
        self._server.__enter__()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.__exit__()

    def reset(self) -> None:
        self.settings = TokenSettings()
        self.requests.clear()

    def answer(self, call: Call) -> bool:
        """Give a token to nobody in particular, or to whoever proves to be a user."""
        if call.request.method == "POST":
            parameters = parse_qs(call.request.body.decode())
            proof, known = parameters.get("refresh_token", [""])[0], self.identity_tokens
        else:
            parameters = call.request.query
            proof, known = call.request.authorization, self.users
        user = known.get(proof or "")
        request = TokenRequest(
            call.request.method, parameters, 401 if proof is not None and not user else 200, user
        )
        self.requests.append(request)
        if request.status != 200:
            return error(401, "UNAUTHORIZED", "incorrect username or password").answer(call)
        names = {"both": ("token", "access_token")}.get(
            self.settings.token_field, (self.settings.token_field,)
        )
        document: dict[str, Any] = dict.fromkeys(names, self.issue(user, request.scopes))
        if self.settings.expires_in is not None:
            document["expires_in"] = self.settings.expires_in
        document["issued_at"] = dt.datetime.now(dt.UTC).isoformat().replace("+00:00", "Z")
        return json_reply(document).answer(call)

    def issue(self, user: str | None, scopes: list[str], lifetime: int | None = None) -> str:
        """Return a JWT for what is allowed of the scopes."""
        access = []
        for scope in scopes:
            kind, _, rest = scope.partition(":")
            repository, _, wanted = rest.rpartition(":")
            actions = sorted(set(wanted.split(",")) & allowed(user, repository))
            if kind == "repository" and actions:
                access.append({"type": kind, "name": repository, "actions": actions})
        now = int(time.time())
        lifetime = self.settings.lifetime if lifetime is None else lifetime
        claims = {"iss": ISSUER, "sub": user or "", "aud": SERVICE, "jti": secrets.token_hex(8)}
        times = {"exp": now + lifetime, "nbf": now - 5, "iat": now}
        return self.signer.sign({**claims, **times, "access": access})

    def bearer(self, user: str, repository: str, actions: str = "pull,push") -> str:
        """Return an Authorization value directly, without a request; for pushing in tests."""
        return f"Bearer {self.issue(user, [f'repository:{repository}:{actions}'], 300)}"


def _base64url(data: bytes) -> bytes:
    return base64.urlsafe_b64encode(data).rstrip(b"=")
