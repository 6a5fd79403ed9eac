"""Who may import whom. The table is the design; this test keeps the code to it."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent.parent / "spincache_nb"

# A module imports only from lines above its own, or from its own place.
LAYERS = [
    ["errors"],
    ["core.strict_json", "core.digest", "core.semver", "core.display", "core.later"],
    ["core.reference", "core.manifest", "core.locked_app", "core.spin_manifest"],
    ["core.paths"],
    ["core.history"],
    ["core.cache", "core.package_record"],
    ["core.archive", "core.project"],
    ["core.credentials"],
    ["core.transport"],
    ["core.registry"],
    ["core.packages"],
    ["core.progress"],
    ["core.inventory"],
    ["core.pull"],
    ["core.sources"],
    ["core.upkeep", "core.transfer"],
    ["core.doctor"],
    ["wasm"],
    ["frames"],
    ["analysis"],
    ["fleet"],
    ["plots"],
    ["report"],
    ["lessons"],
    ["widgets"],
    ["demo"],
    ["cli"],
    ["__main__"],
]
PLACE = {name: depth for depth, names in enumerate(LAYERS) for name in names}
HTTP_MODULES = {"core.transport", "core.registry", "core.packages"}
HEAVY = {"pandas", "numpy", "matplotlib", "ipywidgets", "IPython", "pyarrow", "duckdb", "dask"}


def modules() -> list[str]:
    found = []
    for path in sorted(PACKAGE.rglob("*.py")):
        parts = list(path.relative_to(PACKAGE).with_suffix("").parts)
        if parts[0] == "_shipped":
            continue
        if parts[-1] == "__init__":
            parts.pop()
        if parts and parts != ["core"]:
            found.append(".".join(parts))
    return found


def place_of(module: str) -> str:
    """Entry of the table that a module belongs to."""
    parts = module.split(".")
    for length in range(len(parts), 0, -1):
        if (name := ".".join(parts[:length])) in PLACE:
            return name
    raise AssertionError(f"{module} has no place in the table of layers")


def imports_of(module: str) -> Iterator[str]:
    """Every import of a module, those in functions and under TYPE_CHECKING included."""
    path = PACKAGE.joinpath(*module.split("."))
    source = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
    for node in ast.walk(ast.parse(source.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{module} uses a relative import"
            yield node.module or ""
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def own_imports(module: str) -> set[str]:
    """Places of the table that a module imports."""
    names = {
        name.removeprefix("spincache_nb.") for name in imports_of(module) if name.startswith("spincache_nb.")
    }
    known = set(modules()) | {"core"}
    return {place_of(name) for name in names if name in known and name not in ("core",)}


@pytest.mark.parametrize("module", modules())
def test_module_imports_only_from_layers_above(module: str) -> None:
    mine = place_of(module)
    below = {name for name in own_imports(module) if name != mine and PLACE[name] >= PLACE[mine]}
    assert not below, f"{module} must not import {sorted(below)}"


@pytest.mark.parametrize("module", [m for m in modules() if m.startswith("core")])
def test_core_needs_no_frames_plots_or_widgets(module: str) -> None:
    heavy = {name.partition(".")[0] for name in imports_of(module)} & HEAVY
    assert not heavy


@pytest.mark.parametrize("module", modules())
def test_only_the_http_modules_import_httpx(module: str) -> None:
    if any(name.partition(".")[0] in ("httpx", "httpcore") for name in imports_of(module)):
        assert place_of(module) in HTTP_MODULES


def test_the_rule_is_not_vacuous() -> None:
    assert "core.digest" in own_imports("core.cache.store")
    assert len(modules()) > 20


def test_import_loads_nothing_heavy() -> None:
    names = sorted(HEAVY | {"httpx", "tenacity", "platformdirs", "tqdm", "truststore", "jinja2", "ssl"})
    code = f"import sys, spincache_nb; print([n for n in {names!r} if n in sys.modules])"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "[]"


def test_public_names_are_declared_and_load() -> None:
    import spincache_nb

    stub = ast.parse((PACKAGE / "__init__.pyi").read_text(encoding="utf-8"))
    declared = {
        alias.asname for node in stub.body if isinstance(node, ast.ImportFrom) for alias in node.names
    }
    assert declared == set(spincache_nb.__all__)
    for name in spincache_nb.__all__:
        assert getattr(spincache_nb, name) is not None
