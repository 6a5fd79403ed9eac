from . import analysis as analysis
from . import cli as cli
from . import demo as demo
from . import errors as errors
from . import fleet as fleet
from . import frames as frames
from . import lessons as lessons
from . import plots as plots
from . import report as report
from . import widgets as widgets
from .core.cache import Cache as Cache
from .core.digest import Digest as Digest
from .core.journal import History as History
from .core.plans import PullPlan as PullPlan
from .core.plans import PullResult as PullResult
from .core.pull import plan_pull as plan_pull
from .core.pull import pull as pull
from .core.reference import Reference as Reference
from .core.transfer import export as export
from .core.transfer import import_ as import_
from .frames.tables import verify as verify
from .project.sources import SourcesPlan as SourcesPlan
from .project.sources import SourcesResult as SourcesResult
from .project.sources import plan_sources as plan_sources
from .project.sources import pull_sources as pull_sources
from .upkeep import RemovalPlan as RemovalPlan
from .upkeep import RemovalResult as RemovalResult
from .upkeep import RepairResult as RepairResult
from .upkeep import plan_clear as plan_clear
from .upkeep import plan_prune as plan_prune
from .upkeep import plan_remove as plan_remove
from .upkeep import repair as repair
from .widgets.explorer import explore as explore

__version__: str
__all__: list[str]
