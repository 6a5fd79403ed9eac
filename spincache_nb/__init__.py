"""See, fill and look after the Spin registry cache from a notebook.

Start with ``sc.Cache()``, ``sc.frames.apps(cache)`` and ``sc.pull(cache, reference)``; ``sc.demo``
has a registry and apps to try them on. Nothing heavy is imported before it is first used.
"""

import lazy_loader

__version__ = "0.1.0"

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submodules=[
        "analysis",
        "cli",
        "demo",
        "errors",
        "fleet",
        "frames",
        "lessons",
        "plots",
        "report",
        "widgets",
    ],
    submod_attrs={
        "core.cache": ["Cache"],
        "core.digest": ["Digest"],
        "core.history": ["History"],
        "core.plans": ["PullPlan", "PullResult"],
        "core.pull": ["plan_pull", "pull"],
        "core.reference": ["Reference"],
        "project.sources": ["SourcesPlan", "SourcesResult", "plan_sources", "pull_sources"],
        "core.transfer": ["export", "import_"],
        "upkeep": [
            "RemovalPlan",
            "RemovalResult",
            "RepairResult",
            "plan_clear",
            "plan_prune",
            "plan_remove",
            "repair",
        ],
        "frames.verification": ["verify"],
    },
)
