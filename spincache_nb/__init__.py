"""See, fill and look after the Spin registry cache from a notebook.

Start with ``sc.Cache()``, ``sc.frames.apps(cache)`` and ``sc.pull(cache, reference)``; ``sc.demo``
has a registry and apps to try them on. Nothing heavy is imported before it is first used.
"""

import lazy_loader

__version__ = "0.1.0"

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)  # names stand in __init__.pyi
