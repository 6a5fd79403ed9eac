"""Valid input, and some that is nearly so, to begin with."""

import base64
import gzip
import io
import json
import tarfile

D = "sha256:" + "ab" * 32
MEDIA_TYPES = (
    "application/vnd.oci.image.manifest.v1+json",
    "application/vnd.fermyon.spin.application.v1+config",
    "application/vnd.wasm.content.layer.v1+wasm",
    "application/vnd.wasm.content.bundle.v1.tar+gzip",
    "application/vnd.wasm.config.v0+json",
)


def _json(value: object) -> bytes:
    return json.dumps(value).encode()


def _descriptor(media_type: str, size: int = 3) -> dict[str, object]:
    return {"mediaType": media_type, "digest": D, "size": size}


def _tar(kind: int, *names: str) -> bytes:
    raw = io.BytesIO()
    with tarfile.open(fileobj=raw, mode="w", format=kind) as archive:
        for number, name in enumerate(names):
            info = tarfile.TarInfo(name)
            info.size = 700 * number
            archive.addfile(info, io.BytesIO(bytes(700 * number)))
    return raw.getvalue()


def _layout(name: str) -> bytes:
    """The tar of an OCI image layout that names one manifest."""
    index = {"manifests": [{"digest": D, "annotations": {"org.opencontainers.image.ref.name": name}}]}
    raw = io.BytesIO()
    with tarfile.open(fileobj=raw, mode="w") as archive:
        content = _json(index)
        info = tarfile.TarInfo("index.json")
        info.size = len(content)
        archive.addfile(info, io.BytesIO(content))
    return raw.getvalue()


LAYOUTS = (_layout("r.example/org/app:v1"), _layout("v1"), _layout("other"))
REFERENCES = (
    b"ghcr.io/org/app:v1",
    b"busybox",
    b"localhost:5000/a/b_c--d@" + D.encode(),
    "r.example/ä:ü".encode(),
)
DIGESTS = (D.encode(), b"sha512:" + b"0" * 128, b"sha256:short")
MANIFESTS = (
    _json(
        {
            "schemaVersion": 2,
            "mediaType": MEDIA_TYPES[0],
            "config": _descriptor(MEDIA_TYPES[1]),
            "layers": [_descriptor(MEDIA_TYPES[2]), _descriptor(MEDIA_TYPES[3])],
            "annotations": {"org.opencontainers.image.title": "x"},
        }
    ),
    _json(
        {
            "schemaVersion": 2,
            "manifests": [{**_descriptor("x"), "platform": {"os": "linux", "architecture": "amd64"}}],
        }
    ),
)
LOCKED_APPS = (
    _json(
        {
            "spin_lock_version": 1,
            "must_understand": ["host_requirements"],
            "metadata": {"name": "x", "version": "1"},
            "triggers": [{"id": "t", "trigger_type": "http", "trigger_config": {}}],
            "components": [
                {
                    "id": "a",
                    "source": {"content_type": "application/wasm", "digest": D},
                    "files": [{"path": "a/b", "inline": "YQ"}, {"path": "c", "digest": D}],
                    "dependencies": {"a:b/c@1.0.0": {"source": {"digest": D}, "export": None}},
                }
            ],
        }
    ),
)
SPIN_TOMLS = (
    f"""spin_manifest_version = 2
[application]
name = "x"
[[trigger.http]]
component = "a"
[component.a]
source = {{ url = "https://u:p@x.example/a.wasm?k=v", digest = "{D}" }}
[component.a.dependencies]
"a:b/c@1.0.0" = "^1.0"
"d:e" = {{ version = "1", registry = "r.example", package = "d:e" }}
[component.a.profile.debug]
source = {{ package = "a:b", version = "1.2.3" }}
""".encode(),
    b'spin_version = "1"\nname = "x"\n[[component]]\nid = "a"\nsource = "a.wasm"\n',
    b"spin_manifest_version = 1.5\n",
)
LOCKS = (_json({"r.example": {"package": {"a:b@1.0.0": D, "c:d": "no"}}, "r/x:1": {"package": {}}}),)
ARCHIVES = tuple(
    gzip.compress(_tar(kind, "./a", "./" + "d/" * 60 + "b", "./c", "../out"), mtime=0)
    for kind in (tarfile.GNU_FORMAT, tarfile.PAX_FORMAT, tarfile.USTAR_FORMAT)
)
CHALLENGES = (
    b'Bearer realm="https://auth.example/token",service="r.example",scope="repository:org/app:pull,push"',
    b'Basic realm="a \\" b", Bearer realm=https://h.example\nNegotiate YWJj=',
)
LINKS = (
    b'</v2/org/app/tags/list?last=v2&n=2>; rel="next"',
    b'<https://other.example/x>; rel=next\n<b>; title="x; rel=next"; rel="prev next"',
)
TAG_PAGES = (_json({"name": "org/app", "tags": ["v1", "latest"]}), _json({"tags": None}))
_CLAIMS = base64.urlsafe_b64encode(b'{"exp": 1900000000}').decode()
TOKENS = (
    _json({"token": "abc.def", "expires_in": 300, "issued_at": "2026-01-01T00:00:00Z"}),
    _json({"access_token": f"eyJ.{_CLAIMS}.x", "expires_in": 1e300}),
)
REDIRECTS = (b"https://u:p@s.example/blob?sig=x#f", b"/relative", b"//[::1]:5000/x", b"http://127.0.0.1:80/")
RETRY_AFTERS = (b"120", b"Wed, 21 Oct 2026 07:28:00 GMT", b"Sunday, 06-Nov-94 08:49:37 GMT", b"-1")
HEADS = (
    b"200 OK\r\nContent-Length: 3\r\nX: a\r\n  b\r\n\r\nabc",
    b"100 Continue\r\n\r\nHTTP/1.1 206 Partial Content\r\nTransfer-Encoding: chunked\r\n\r\n",
)
HISTORY_LINES = (
    _json(
        {
            "at": "2026-01-01T00:00:00.000000Z",
            "cache": "/c",
            "reference": "r.example/a:b",
            "manifest_digest": D,
            "index_digest": None,
            "fetch_bytes": 1,
            "reused_bytes": 2,
            "wire_bytes": 3,
            "seconds": 0.5,
        }
    ),
)
_PAIR = base64.b64encode(b"ann:secret").decode()
STORES = (
    _json({"auths": {"r.example": _PAIR}}),
    _json({"auths": {"https://r.example/v1/": {"auth": _PAIR}, "r.example": {"identitytoken": "secret"}}}),
    _json(
        {
            "credHelpers": {"r.example": "x"},
            "credsStore": "y",
            "auths": {"r.example/org": {"auth": "c2VjcmV0"}},
        }
    ),
)
