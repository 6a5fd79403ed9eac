"""An independent pusher: the OCI distribution API over ``http.client``, one connection, nothing else."""

import base64
import http.client
import ssl
from collections.abc import Callable
from urllib.parse import quote, urlsplit

from tests.support.artifact import DOCKER_LIST, DOCKER_MANIFEST, OCI_INDEX, OCI_MANIFEST, Artifact

Authorization = str | Callable[[str], str] | None
"""A header value, or a function of the repository that gives one."""

ACCEPT = ", ".join([OCI_MANIFEST, OCI_INDEX, DOCKER_MANIFEST, DOCKER_LIST])
"""docker-registry gives an OCI manifest only to those who name its type; ``*/*`` is not enough."""


def basic(user: str, password: str) -> str:
    """Return the Authorization value of HTTP Basic, in UTF-8."""
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()


class PushFailed(Exception):
    """The registry refused; the message has the request, the status and the body."""


class Pusher:
    """Pushes artifacts to one registry, and reads back what is there."""

    def __init__(
        self, netloc: str, *, tls: ssl.SSLContext | None = None, authorization: Authorization = None
    ) -> None:
        self.authorization = authorization
        self._connection: http.client.HTTPConnection = (
            http.client.HTTPConnection(netloc, timeout=30)
            if tls is None
            else http.client.HTTPSConnection(netloc, timeout=30, context=tls)
        )

    def __enter__(self) -> "Pusher":
        return self

    def __exit__(self, *_: object) -> None:
        self._connection.close()

    def push(self, artifact: Artifact) -> str:
        """Push children, blobs that are not there yet, and the manifest; return the manifest's digest."""
        for child in artifact.children:
            self.push(child)
        for digest, data in artifact.blobs.items():
            self.push_blob(artifact.repository, digest, data)
        target = f"/v2/{artifact.repository}/manifests/{artifact.tag or artifact.digest}"
        headers = {"Content-Type": artifact.media_type}
        answer, _ = self.request(
            "PUT", target, artifact.repository, artifact.manifest, headers, expect=(201,)
        )
        assert answer["Docker-Content-Digest"] == artifact.digest, "the registry stored another manifest"
        return artifact.digest

    def push_blob(self, repository: str, digest: str, data: bytes) -> None:
        """Upload one blob in one piece unless a HEAD request finds it."""
        if self._status("HEAD", f"/v2/{repository}/blobs/{digest}", repository) == 200:
            return
        begun, _ = self.request("POST", f"/v2/{repository}/blobs/uploads/", repository, expect=(202,))
        parts = urlsplit(begun["Location"])
        query = f"{parts.query}&" if parts.query else ""
        target = f"{parts.path}?{query}digest={quote(digest, safe='')}"
        headers = {"Content-Type": "application/octet-stream"}
        self.request("PUT", target, repository, data, headers, expect=(201,))

    def get(self, target: str, repository: str = "", accept: str = ACCEPT) -> tuple[dict[str, str], bytes]:
        """Return the headers and body of a GET request that must be answered with 200."""
        return self.request("GET", target, repository, headers={"Accept": accept}, expect=(200,))

    def request(
        self,
        method: str,
        target: str,
        repository: str = "",
        body: bytes | None = None,
        headers: dict[str, str] | None = None,
        *,
        expect: tuple[int, ...],
    ) -> tuple[dict[str, str], bytes]:
        """Send one request; return its answer's headers and body, or raise ``PushFailed``."""
        sent = dict(headers or {})
        value = self.authorization(repository) if callable(self.authorization) else self.authorization
        if value is not None:
            sent["Authorization"] = value
        self._connection.request(method, target, body=body, headers=sent)
        answer = self._connection.getresponse()
        content = answer.read()
        if answer.status not in expect:
            raise PushFailed(f"{method} {target}: {answer.status} {content[:500]!r}")
        return dict(answer.headers.items()), content

    def _status(self, method: str, target: str, repository: str) -> int:
        try:
            self.request(method, target, repository, expect=(200,))
        except PushFailed as failure:
            if ": 404 " not in str(failure):
                raise
            return 404
        return 200
