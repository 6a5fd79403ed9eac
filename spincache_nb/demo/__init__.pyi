from .apps import CANARY as CANARY
from .apps import Artifact as Artifact
from .apps import Blob as Blob
from .apps import artifacts as artifacts
from .apps import payload as payload
from .generations import GENERATIONS as GENERATIONS
from .generations import RecordedCache as RecordedCache
from .generations import RecordedFile as RecordedFile
from .generations import recorded as recorded
from .generations import recorded_caches as recorded_caches
from .server import ADDRESS as ADDRESS
from .server import PREFERRED_PORT as PREFERRED_PORT
from .server import DemoRegistry as DemoRegistry
from .server import Request as Request
from .server import registry as registry
from .server import serve as serve
from .shipped import CopiedFile as CopiedFile
from .shipped import copy_notebooks as copy_notebooks
from .shipped import data_fixtures as data_fixtures
from .shipped import notebooks as notebooks
from .workspace import Workspace as Workspace
from .workspace import write_fleet as write_fleet

__all__: list[str]
