"""Carrying apps across an air gap, in an OCI image layout that other tools read too."""

from spincache_nb.core.transfer.into import import_
from spincache_nb.core.transfer.layout import Layout
from spincache_nb.core.transfer.out import Exported, export

__all__ = ["Exported", "Layout", "export", "import_"]
