"""HTTP, from an address to raw bytes: connections, TLS, proxies, redirects, retries, resume.

Nothing in here knows of registries. The modules, each importing only from those before it::

    halting       cancel and close
    addresses     what is loopback, what may be shown, what may be asked in plain HTTP
    retrying      tenacity, only once something has to be tried again
    faults        httpx's exceptions to ours
    tls           one context, built for the first TLS connection
    proxies       the system's proxies
    wire          a socket with a deadline that another thread can cut
    pool          connections, and those that wait for their next request
    connections   the fast path: an httpx transport over http.client
    routes        `make_transport`, the one place where a transport is made
    answers       the head and the body of one answer, bounded and counted
    web           one exchange: redirects, who may see credentials
    download      one body across broken connections

It is loaded with the first request, not with the package.
"""
