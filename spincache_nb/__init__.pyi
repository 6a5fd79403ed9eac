from spincache_nb import analysis as analysis
from spincache_nb import cli as cli
from spincache_nb import demo as demo
from spincache_nb import errors as errors
from spincache_nb import frames as frames
from spincache_nb import plots as plots
from spincache_nb import report as report
from spincache_nb.core.cache import Cache as Cache
from spincache_nb.core.digest import Digest as Digest
from spincache_nb.core.history import History as History
from spincache_nb.core.pull import PullPlan as PullPlan
from spincache_nb.core.pull import PullResult as PullResult
from spincache_nb.core.pull import plan_pull as plan_pull
from spincache_nb.core.pull import pull as pull
from spincache_nb.core.reference import Reference as Reference

__version__: str
__all__: list[str]
