"""The compact fetch-and-store core: the cache on disk, the OCI pull into it, and nothing else.

Nothing here needs pandas, a plot or a widget. It logs through ``logging``, under ``spincache_nb``,
and is quiet unless somebody listens.
"""

import logging

logging.getLogger("spincache_nb").addHandler(logging.NullHandler())
