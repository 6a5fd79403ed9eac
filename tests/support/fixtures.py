"""The fixtures that tests ask for by name. Servers are shared by the session where they can be."""

import os
import ssl
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import trustme

from tests.support import go_registries
from tests.support.hostile import HostileServer
from tests.support.procs import free_port, open_folder
from tests.support.registry_server import RegistryServer, start_registry
from tests.support.token_service import TokenService

if TYPE_CHECKING:
    from spincache_nb.core.cache import Cache


@pytest.fixture(scope="session")
def private_ca() -> trustme.CA:
    """A certificate authority that no system trusts, the same for the whole session."""
    return trustme.CA()


@pytest.fixture(scope="session")
def ca_file(private_ca: trustme.CA, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The PEM file of ``private_ca``, for ``ca=`` and ``SSL_CERT_FILE``."""
    path = tmp_path_factory.mktemp("ca") / "ca.pem"
    private_ca.cert_pem.write_to_path(str(path))
    return path


@pytest.fixture(scope="session")
def server_tls(private_ca: trustme.CA) -> ssl.SSLContext:
    """A server's TLS context for 127.0.0.1, 127.0.0.2 and localhost, signed by ``private_ca``."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    private_ca.issue_cert("127.0.0.1", "127.0.0.2", "localhost").configure_cert(context)
    return context


@pytest.fixture(scope="session")
def plain_registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RegistryServer]:
    """docker-registry over plain HTTP, open to everybody; a test that counts has a repository of its own."""
    with start_registry(tmp_path_factory.mktemp("plain-registry")) as server:
        yield server


@pytest.fixture(scope="session")
def basic_registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RegistryServer]:
    """docker-registry behind htpasswd: HTTP Basic with the users in ``basic_registry.users``."""
    with start_registry(tmp_path_factory.mktemp("basic-registry"), auth="basic") as server:
        yield server


@pytest.fixture(scope="session")
def token_registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RegistryServer]:
    """docker-registry behind a Bearer token service; anybody may pull below ``public/``."""
    with start_registry(tmp_path_factory.mktemp("token-registry"), auth="token") as server:
        yield server


@pytest.fixture
def token_service(token_registry: RegistryServer) -> Iterator[TokenService]:
    """The token service of ``token_registry``, its requests empty and its settings default at each test."""
    service = token_registry.token_service
    assert service is not None
    service.reset()
    yield service
    service.reset()


@pytest.fixture(scope="session")
def tls_registry(
    tmp_path_factory: pytest.TempPathFactory, private_ca: trustme.CA
) -> Iterator[RegistryServer]:
    """docker-registry over TLS with a certificate of ``private_ca``, open to everybody."""
    with start_registry(tmp_path_factory.mktemp("tls-registry"), ca=private_ca) as server:
        yield server


@pytest.fixture(scope="session")
def crane_registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RegistryServer]:
    """go-containerregistry's registry, built from its module; skips where there is no Go."""
    program = go_registries.build(go_registries.CRANE, go_registries.session_folder(tmp_path_factory))
    with go_registries.start_crane(program, tmp_path_factory.mktemp("crane")) as server:
        yield server


@pytest.fixture(scope="session")
def distribution_registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RegistryServer]:
    """distribution v3, built from its module, two tags to a page; skips unless it is asked for."""
    program = go_registries.distribution(go_registries.session_folder(tmp_path_factory))
    folder = tmp_path_factory.mktemp("distribution")
    with start_registry(folder, binary=str(program), settings={"tags": {"maxtags": 2}}) as server:
        yield server


@pytest.fixture
def start_hostile() -> Iterator[Callable[..., HostileServer]]:
    """A function that starts one more ``HostileServer`` (same arguments); all stop with the test."""
    with ExitStack() as stack:
        yield lambda *arguments, **options: stack.enter_context(HostileServer(*arguments, **options))


@pytest.fixture
def hostile(start_hostile: Callable[..., HostileServer]) -> HostileServer:
    """A ``HostileServer`` over plain HTTP on 127.0.0.1 with nothing scripted."""
    return start_hostile()


@pytest.fixture
def hostile_tls(start_hostile: Callable[..., HostileServer], server_tls: ssl.SSLContext) -> HostileServer:
    """A ``HostileServer`` over TLS on 127.0.0.1, with a certificate of ``private_ca``."""
    return start_hostile(tls=server_tls)


@pytest.fixture
def closed_port() -> int:
    """A port on 127.0.0.1 at which nothing listens: connecting is refused."""
    return free_port()


@pytest.fixture
def nobodys_folder() -> Iterator[Path]:
    """A folder that the unprivileged user of ``procs`` owns and can reach, unlike ``tmp_path``."""
    with open_folder() as folder:
        yield folder


@pytest.fixture
def roots_folder() -> Iterator[Path]:
    """A folder that the unprivileged user of ``procs`` can enter and read, but not write."""
    with open_folder(owner=0) as folder:
        if os.geteuid() != 0:
            folder.chmod(0o555)
        yield folder


@pytest.fixture
def cache(tmp_path: Path) -> "Cache":
    """A cache that is not there yet."""
    from spincache_nb.core.cache import Cache

    return Cache(tmp_path / "cache")


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """The empty folder of a project."""
    folder = tmp_path / "project"
    folder.mkdir()
    return folder
