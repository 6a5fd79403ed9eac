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
    """Sends the requests of one client."""

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
        """Ask for something, and once more with what the registry wants to see."""
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
        """Fetch a document, again if it broke off."""

        def once() -> tuple[bytes, httpx.Headers]:
            with self.ask(reference, target, {"Accept": accept}, wish) as answer:
                return answer.read(limit, what=what), answer.headers

        return self.web.retrier.run(once)
