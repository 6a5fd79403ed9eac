"""Demo apps, an embedded registry that serves them on loopback, and a cache of every generation of Spin.

>>> from spincache_nb import demo
>>> with demo.registry() as registry:
...     len(registry.references)
18
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)  # names stand in __init__.pyi
