"""Docker's credential helpers: programs that are asked for a secret, one host at a time."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path

from spincache_nb.core.credentials.stores import HelperQuestion
from spincache_nb.core.credentials.value import Credentials
from spincache_nb.errors import CredentialsError

HELPER_SECONDS = 15.0
"""How long a helper may take, in seconds, unless told otherwise."""

_MAX_ANSWER_BYTES = 1 << 20
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_NOT_FOUND = b"credentials not found"  # docker-credential-helpers: what all of them answer
_REMEDY = "no credentials were sent; run it yourself to see why, or log in again"


def ask_helper(
    question: HelperQuestion, *, store: str, environ: Mapping[str, str] | None, seconds: float
) -> Credentials | None:
    """Run ``docker-credential-<helper> get`` with the host on its standard input."""
    if _NAME.fullmatch(question.helper) is None:
        raise CredentialsError(
            store, "the name of a credential helper", repr(question.helper), "correct the file"
        )
    program = f"docker-credential-{question.helper}"
    where = f"{program} (named in {store})"
    path = _find(program, environ, where)
    for server in question.servers:
        answer = _run(path, server, where, environ, seconds)
        if answer is not None:
            return _parse(answer, where)
    return None


def _find(program: str, environ: Mapping[str, str] | None, where: str) -> str:
    """Find the program, but never in the folder one happens to be in."""
    variables = os.environ if environ is None else environ
    path = shutil.which(program, path=variables.get("PATH", ""))
    if path is None or not Path(path).is_absolute():
        raise CredentialsError(where, "a program on PATH", "none", "install it, or log in again")
    return path


def _run(
    path: str, server: str, where: str, environ: Mapping[str, str] | None, seconds: float
) -> bytes | None:
    """Ask once; None if the helper says that it has no such credentials."""
    try:
        done = subprocess.run(  # noqa: S603 - a validated name, found on PATH, without a shell
            [path, "get"],
            input=server.encode("utf-8", "replace"),
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=dict(environ) if environ is not None else None,
            timeout=seconds,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise CredentialsError(where, f"an answer within {seconds:g} s", "none", _REMEDY) from None
    except (OSError, ValueError) as exc:
        reason = getattr(exc, "strerror", None) or "an environment that no program can have"
        raise CredentialsError(where, "a program that runs", reason, _REMEDY) from None
    if done.returncode == 0:
        return done.stdout
    if _NOT_FOUND in done.stdout.lower():
        return None
    raise CredentialsError(where, "exit status 0", f"exit status {done.returncode}", _REMEDY)


def _parse(answer: bytes, where: str) -> Credentials:
    problem = CredentialsError(where, "JSON with Username and Secret", "other text", _REMEDY)
    if len(answer) > _MAX_ANSWER_BYTES:
        raise problem
    try:
        document = json.loads(answer)
    except (ValueError, RecursionError):  # which hold the secret: they end here
        raise problem from None
    if not isinstance(document, dict):
        raise problem
    username, secret = document.get("Username"), document.get("Secret")
    if not isinstance(username, str) or not isinstance(secret, str):
        raise problem
    return Credentials.from_pair(username, secret, source=where)
