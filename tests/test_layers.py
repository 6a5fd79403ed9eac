"""Who may import whom: rooms from bottom to top, no circle, no heavy library where none belongs."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent.parent / "spincache_nb"

# A module imports from its own room and from rooms named before its own.
ROOMS = [
    "errors", "show", "wasm", "core", "project", "inventory", "upkeep", "frames", "analysis",
    "fleet", "plots", "report", "lessons", "widgets", "demo", "cli", "__main__",
]  # fmt: skip
SPEAK_HTTP = (
    "core.addresses", "core.auth", "core.refusals", "core.registry",
    "core.sockets", "core.web", "project.packages",
)  # fmt: skip
HEAVY = {"pandas", "numpy", "matplotlib", "ipywidgets", "IPython", "pyarrow", "duckdb"}


def imports(*, types: bool = True) -> dict[str, set[str]]:
    """Every module and what it imports, in functions too, and under TYPE_CHECKING unless told otherwise."""
    found = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        if "_shipped" not in path.parts:
            parts = path.relative_to(PACKAGE).with_suffix("").parts
            name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
            found[name] = set(_imported(ast.parse(path.read_text(encoding="utf-8")), types=types))
    return found


def _imported(tree: ast.AST, *, types: bool) -> Iterator[str]:
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute"
            yield node.module or ""
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
        elif types or not (isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"):
            yield from _imported(node, types=types)


def own(names: set[str], known: set[str]) -> set[str]:
    """The package's own modules among imported names."""
    return {name.removeprefix("spincache_nb.") for name in names} & known


def test_rooms_import_only_from_rooms_below():
    found = imports()
    wrong = [
        f"{module} imports {name}"
        for module, names in found.items()
        if module
        for name in own(names, set(found) - {""})
        if ROOMS.index(name.partition(".")[0]) > ROOMS.index(module.partition(".")[0])
    ]
    assert len(found) > 20
    assert not wrong, "\n".join(wrong)


def test_no_two_modules_import_each_other():
    found = imports()
    graph = {
        module: {name for name in own(names, set(found)) - {module, ""} if not module.startswith(name + ".")}
        for module, names in found.items()
    }
    circles = sorted(_circles(graph))
    assert not circles, "\n".join(circles)


def _circles(graph: dict[str, set[str]]) -> Iterator[str]:
    """Paths that lead back to where they began: one for each module that lies on such a path."""
    for start in graph:
        stack, seen = [(start, start)], {start}
        while stack:
            module, path = stack.pop()
            for name in graph[module]:
                if name == start:
                    yield f"{path} > {name}"
                    stack.clear()
                    break
                if name not in seen:
                    seen.add(name)
                    stack.append((name, f"{path} > {name}"))


def test_rooms_below_the_frames_need_no_heavy_library():
    below = ("core", "errors", "show", "project", "upkeep")
    heavy = {
        f"{module} imports {name}"
        for module, names in imports(types=False).items()
        if module.partition(".")[0] in below
        for name in names
        if name.partition(".")[0] in HEAVY
    }
    assert not heavy


def test_only_the_http_modules_import_httpx():
    speakers = {
        module
        for module, names in imports().items()
        if {"httpx", "httpcore"} & {n.partition(".")[0] for n in names}
    }
    assert speakers
    assert all(module.startswith(SPEAK_HTTP) for module in speakers), speakers


def test_the_demos_registry_shares_no_code_with_the_client():
    found = imports()
    imported = set().union(*(found[f"demo.{name}"] for name in ("server", "shipped")))
    rooms = {name.split(".")[1] for name in imported if name.startswith("spincache_nb.")}
    assert rooms <= {"demo", "errors"}
    outside = {name.partition(".")[0] for name in imported} - {"spincache_nb"}
    assert outside <= set(sys.stdlib_module_names)


WITHOUT = {
    "": HEAVY | {"httpx", "platformdirs", "tqdm", "truststore", "jinja2", "ssl"},
    ".core.paths": {"platformdirs"},
    ".core.credentials": {"httpx", "platformdirs", "pandas"},
    ".core.registry": {"truststore", "subprocess", "spincache_nb.core.auth", "spincache_nb.core.credentials"},
    ".fleet.crawling": {"pandas", "numpy", "pyarrow", "duckdb"},
    ".demo": HEAVY | {"httpx", "jinja2", "spincache_nb.core"},
}


@pytest.mark.parametrize("module", WITHOUT)
def test_import_loads_nothing_heavy(module):
    code = (
        f"import sys, spincache_nb{module}; print([n for n in {sorted(WITHOUT[module])} if n in sys.modules])"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "[]"


def test_values_that_others_keep_are_frozen():
    """All but these, which are made step by step."""
    wrong = set()
    for path in PACKAGE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                made = " ".join(map(ast.unparse, [*node.decorator_list, *node.bases, *node.keywords]))
                if ("dataclass" in made or "Struct" in made) and "frozen=True" not in made:
                    wrong.add(node.name)
    assert wrong == {"CachedApp", "Store", "Version", "WrittenDescriptor", "WrittenManifest"}


def test_public_names_are_declared_and_load():
    import spincache_nb

    stub = ast.parse((PACKAGE / "__init__.pyi").read_text(encoding="utf-8"))
    declared = {
        alias.asname for node in stub.body if isinstance(node, ast.ImportFrom) for alias in node.names
    }
    assert declared == set(spincache_nb.__all__)
    for name in spincache_nb.__all__:
        assert getattr(spincache_nb, name) is not None
