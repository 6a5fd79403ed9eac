"""What the tests stand on: servers, artifacts and a second opinion, none of it from the package under test.

Nothing in here imports ``spincache_nb``: if both sides shared code, a common mistake would stay hidden.

=================== ==========================================================================
module              what it gives
=================== ==========================================================================
isolation           temporary HOME and friends, the guard over the real ones, ``need``
network_guard       no socket of the test process leaves loopback
fixtures            the fixtures for servers and folders (all documented there)
registry_server     Debian's docker-registry: plain, htpasswd, Bearer token, TLS
go_registries       registries of other make, built from Go modules where Go is at hand
token_service       the token service that docker-registry's ``auth: token`` trusts
push                pushes an artifact with ``http.client`` alone
artifact            the value ``Artifact`` and the encodings of a Spin push
artifacts           artifacts of the five kinds, as Spin and wkg push them
odd_artifacts       indexes, Docker types, sha512, duplicates, 499 layers, broken manifests
archives            tar+gzip layers, good and bad
oracle              which files a Spin pull leaves, written from Spin's rules a second time
caches              caches as every release of Spin leaves them, whole and damaged
projects            projects that name sources and environments by digest
trees               read a directory into ``{path: bytes}`` and compare two of them
hostile             a loopback server that answers as badly as a script says
behaviours, faults  what it may answer: whole answers, and spoilt ones
procs               Python in a subprocess, as a user without rights if wanted
memory              a bound on the memory of what a test does
=================== ==========================================================================
"""
