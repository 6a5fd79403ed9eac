"""Requests to a registry: the right address, the ``Authorization`` it asks for, a document whole."""

from __future__ import annotations

from collections.abc import Mapping

import httpx

from spincache_nb.core.reference import Reference
from spincache_nb.core.registry.authorization import Authorizer
from spincache_nb.core.registry.refusals import Wish, refusal
from spincache_nb.core.transport.answers import Answer
from spincache_nb.core.transport.web import Ask, Web


class Requests:
    """Sends the requests of one client.

    Parameters
    ----------
    web
        Speaks HTTP.
    authorizer
        Knows what opens a repository.
    """

    def __init__(self, web: Web, authorizer: Authorizer) -> None:
        self.web = web
        self._authorizer = authorizer

    def ask(
        self,
        reference: Reference,
        target: str,
        headers: Mapping[str, str],
        wish: Wish,
        *,
        good: tuple[int, ...] = (200,),
        head: bool = False,
        size: int | None = None,
    ) -> Answer:
        """Ask for something, and once more with what the registry wants to see.

        Parameters
        ----------
        reference
            Whose repository it is in.
        target
            Path and query.
        headers
            To send.
        wish
            What it is, for an error.
        good
            Statuses that are hoped for.
        head
            Whether only the head of the answer is wanted.
        size
            Bytes that the body must have, if that is known and their digest will be checked.

        Returns
        -------
        Answer
            Of a good status; to be closed.

        Raises
        ------
        RetryableError
            If it failed in passing.
        AccessDeniedError, NotFoundError, StatusError, RegistryError
            If it did not, and trying again would not help.
        """
        url = self.web.url(reference.host, target)
        used = self._authorizer.header_for(reference)
        answer = self.web.send(Ask(url, headers, used, head=head, size=size))
        if answer.status == 401 and answer.at_home:
            answer.discard()
            challenges = answer.headers.get_list("WWW-Authenticate")
            header = self._authorizer.meet(reference, challenges, used)
            if header is not None:
                answer = self.web.send(Ask(url, headers, header, head=head, size=size))
        if answer.status not in good:
            raise refusal(answer, wish, self._authorizer.access(reference))
        return answer

    def whole(
        self,
        reference: Reference,
        target: str,
        wish: Wish,
        *,
        accept: str,
        limit: int,
        what: str,
    ) -> tuple[bytes, httpx.Headers]:
        """Fetch a document, again if it broke off.

        Parameters
        ----------
        reference, target, wish
            As for `ask`.
        accept
            Media types to ask for.
        limit
            Bytes it may have.
        what
            What to call it in an error.

        Returns
        -------
        tuple of bytes and httpx.Headers
            The document and the headers it came with.

        Raises
        ------
        LimitError
            If it is larger.
        SpinCacheError
            What the last attempt gave.
        """

        def once() -> tuple[bytes, httpx.Headers]:
            with self.ask(reference, target, {"Accept": accept}, wish) as answer:
                return answer.read(limit, what=what), answer.headers

        return self.web.retrier.run(once)
