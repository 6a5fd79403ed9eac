"""Digests: grammar, values and checks; expectations from ``sha256sum`` and FIPS 180-4's examples."""

import io
import pickle
import shutil
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spincache_nb.core.digest import ENCODED_LENGTH, Digest, hash_stream
from spincache_nb.errors import DigestMismatchError, InvalidDigestError

# FIPS 180-4 and its example values for "abc"
ABC = {
    "sha256": "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
    "sha384": (
        "cb00753f45a35e8bb5a03d699ac65007272c32ab0eded1631a8b605a43ff5bed8086072ba1e7cc2358baeca134c825a7"
    ),
    "sha512": (
        "ddaf35a193617abacc417349ae20413112e6fa4e89a97ea20a9eeee64b55d39a"
        "2192992a274fc1a836ba3c23a3feebbd454d4423643ce80e2a9ac94fa54ca49f"
    ),
}
LENGTHS = {"sha256": 64, "sha384": 96, "sha512": 128}

digests = st.sampled_from(sorted(LENGTHS)).flatmap(
    lambda name: st.text("0123456789abcdef", min_size=LENGTHS[name], max_size=LENGTHS[name]).map(
        lambda encoded: f"{name}:{encoded}"
    )
)


@pytest.mark.parametrize("algorithm", LENGTHS)
def test_every_algorithm_gives_the_published_values(algorithm: str) -> None:
    digest = Digest.parse(f"{algorithm}:{ABC[algorithm]}")
    assert digest == Digest(algorithm, ABC[algorithm]) == Digest.of(b"abc", algorithm)
    assert digest.short == ABC[algorithm][:12]
    hasher = digest.hasher()
    hasher.update(b"abc")
    assert hasher.hexdigest() == digest.encoded
    stream = io.BytesIO(b"abc")
    assert hash_stream(stream, algorithm) == (digest, 3)
    assert not stream.closed
    assert ENCODED_LENGTH == LENGTHS


H = "a" * 64


@pytest.mark.parametrize(
    "text",
    [
        "",
        "sha256",
        "sha256:",
        H,
        f":{H}",
        f"sha256:{H[:-1]}",
        f"sha256:{H}a",
        f"sha256:{H[:-1]}g",
        f"sha256:{H.upper()}",
        f"SHA256:{H}",
        f"md5:{'a' * 32}",
        f"sha1:{'a' * 40}",
        f"sha384:{H}",
        f"sha512:{H}",
        f"sha256:{H}\n",
        f" sha256:{H}",
        f"sha256:{H} ",
        f"sha256:{'０' * 64}",  # full-width digits are digits, but not hex
        f"sha256:{H[:-1]}\0",
        f"sha256_{H}",
        f"sha256:sha256:{H}",
        f"sha256:{'../' * 21}a",
        f"../../sha256:{H}",
        f"/etc/sha256:{H}",
        f"sha256:{H}/../x",
        f"sha256:{H}\\..\\x",
    ],
)
def test_parse_refuses_whatever_is_no_digest(text: str) -> None:
    with pytest.raises(InvalidDigestError) as caught:
        Digest.parse(text, where="the manifest")
    assert caught.value.where == "the manifest"
    assert caught.value.found == repr(text)


@pytest.mark.parametrize("value", [None, 1, b"sha256:" + H.encode(), ["sha256"], {}, True])
def test_parse_refuses_what_is_no_text(value: object) -> None:
    with pytest.raises(InvalidDigestError):
        Digest.parse(value)  # type: ignore[arg-type]


@given(digests)
def test_parse_and_str_are_inverse(text: str) -> None:
    digest = Digest.parse(text)
    assert str(digest) == text
    assert Digest.parse(str(digest)) == digest
    assert pickle.loads(pickle.dumps(digest)) == digest


def test_digest_is_a_value() -> None:
    digest = Digest("sha256", H)
    assert digest in {Digest("sha256", H)}
    assert Digest("sha256", "b" * 64) > digest
    with pytest.raises(AttributeError):
        digest.encoded = "x"  # type: ignore[misc]


@pytest.mark.parametrize("size", [0, 1, (1 << 20) - 1, 1 << 20, (1 << 20) + 1, 3 << 20])
def test_hash_stream_agrees_with_sha256sum(size: int, tmp_path: Path) -> None:
    program = shutil.which("sha256sum")
    if program is None:
        pytest.skip("no sha256sum here")
    path = tmp_path / "blob"
    path.write_bytes(bytes(range(251)) * (size // 251) + bytes(size % 251))
    printed = subprocess.run([program, str(path)], capture_output=True, text=True, check=True).stdout
    with path.open("rb") as stream:
        digest, count = hash_stream(stream)
    assert (digest.encoded, count) == (printed.split()[0], size)


class Trickle(io.BytesIO):
    """A stream that gives less than it is asked for, as sockets do."""

    def read(self, size: int | None = -1, /) -> bytes:
        return super().read(min(size or 1, 7))


def test_hash_stream_reads_short_reads_to_the_end() -> None:
    digest, count = hash_stream(Trickle(b"abc" * 100), "sha512")
    assert (digest, count) == (Digest.of(b"abc" * 100, "sha512"), 300)


@pytest.mark.parametrize("content", [b"", b"ab", b"abcd", b"abd"])
def test_check_names_both_digests(content: bytes) -> None:
    expected = Digest("sha256", ABC["sha256"])
    with pytest.raises(DigestMismatchError) as caught:
        expected.check(Digest.of(content).encoded, where="wasm/x")
    error = caught.value
    assert (error.where, error.expected) == ("wasm/x", f"sha256:{ABC['sha256']}")
    assert error.found == str(Digest.of(content))


def test_check_compares_hex_digits() -> None:
    digest = Digest("sha256", H)
    digest.check(H, where="demo")
    with pytest.raises(DigestMismatchError):
        digest.check(H.upper(), where="demo")
