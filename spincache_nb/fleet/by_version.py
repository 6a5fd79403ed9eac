"""What a fleet's versions tell: what each costs, and where it still sits."""

from __future__ import annotations

import pandas as pd

from spincache_nb.analysis.replay import Rules, check_rules
from spincache_nb.core.reference import Reference
from spincache_nb.errors import InvalidReferenceError, NotInCacheError
from spincache_nb.fleet import queries, schemas
from spincache_nb.fleet.dress import savings_columns
from spincache_nb.fleet.opened import Opened
from spincache_nb.fleet.schemas import typed


class VersionAnalyses(Opened):
    """Analyses with a row per version."""

    def version_savings(self, repository: str | None = None, *, rules: Rules = "spin") -> pd.DataFrame:
        """Pull all versions of a repository one after the other into an empty cache; or of each one."""
        check_rules(rules)
        name = None if repository is None else self._full_name(repository)
        versions = self._catalog.versions(name)
        found = self._engine.fetches(versions, rules)
        return typed(schemas.FLEET_VERSION_SAVINGS_SCHEMA, savings_columns(versions, found))

    def versions(self) -> pd.DataFrame:
        """Say on how many hosts each version still sits."""
        self._catalog.number_manifests()
        found = self._catalog.frame(queries.VERSIONS)
        times = {f"{name}_pulled_at": found[f"{name}_ns"] for name in ("first", "last")}
        return typed(schemas.VERSIONS_SCHEMA, {**{str(name): found[name] for name in found}, **times})

    def _full_name(self, repository: str) -> str:
        known = self._catalog.repositories()
        try:
            reference = Reference.parse(repository)
            wanted = {repository, f"{reference.registry}/{reference.repository}"}
        except InvalidReferenceError:
            wanted = {repository}
        found = [name for name in known if name in wanted] or [
            name for name in known if name.partition("/")[2] == repository
        ]
        if len(found) != 1:
            what = f"{found}" if found else "none of that name"
            raise NotInCacheError(repository, "one repository in the fleet", what, "see Fleet.versions()")
        return found[0]
