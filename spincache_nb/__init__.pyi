from spincache_nb import analysis as analysis
from spincache_nb import cli as cli
from spincache_nb import demo as demo
from spincache_nb import errors as errors
from spincache_nb import fleet as fleet
from spincache_nb import frames as frames
from spincache_nb import lessons as lessons
from spincache_nb import plots as plots
from spincache_nb import report as report
from spincache_nb import widgets as widgets
from spincache_nb.core.cache import Cache as Cache
from spincache_nb.core.digest import Digest as Digest
from spincache_nb.core.history import History as History
from spincache_nb.core.plans import PullPlan as PullPlan
from spincache_nb.core.plans import PullResult as PullResult
from spincache_nb.core.pull import plan_pull as plan_pull
from spincache_nb.core.pull import pull as pull
from spincache_nb.core.reference import Reference as Reference
from spincache_nb.core.transfer import export as export
from spincache_nb.core.transfer import import_ as import_
from spincache_nb.frames.verification import verify as verify
from spincache_nb.project.sources import SourcesPlan as SourcesPlan
from spincache_nb.project.sources import SourcesResult as SourcesResult
from spincache_nb.project.sources import plan_sources as plan_sources
from spincache_nb.project.sources import pull_sources as pull_sources
from spincache_nb.upkeep import RemovalPlan as RemovalPlan
from spincache_nb.upkeep import RemovalResult as RemovalResult
from spincache_nb.upkeep import RepairResult as RepairResult
from spincache_nb.upkeep import plan_clear as plan_clear
from spincache_nb.upkeep import plan_prune as plan_prune
from spincache_nb.upkeep import plan_remove as plan_remove
from spincache_nb.upkeep import repair as repair

__version__: str
__all__: list[str]
