"""A short run of every fuzz target; ``python -m tests.fuzz.run`` is the long one."""

import pytest
from hypothesis import HealthCheck, Phase, given, settings

from tests.fuzz.cases import cases_for
from tests.fuzz.targets import BY_NAME, TARGETS, Target, call, guarded

EXAMPLES = 250


@pytest.mark.parametrize("target", TARGETS, ids=lambda target: target.name)
def test_target_raises_only_our_errors_and_ends(target: Target) -> None:
    with guarded() as rearm:

        @settings(
            max_examples=EXAMPLES,
            deadline=None,
            database=None,
            suppress_health_check=list(HealthCheck),
            phases=(Phase.generate, Phase.shrink),
        )
        @given(data=cases_for(target))
        def run(data: bytes) -> None:
            rearm()
            call(target, data)

        run()


@pytest.mark.parametrize("target", TARGETS, ids=lambda target: target.name)
def test_target_takes_its_seeds(target: Target) -> None:
    """At least one seed of each gets all the way through; else the fuzzing would be of nothing."""
    target.run(target.seeds[0])
    for seed in target.seeds:
        call(target, seed)


@pytest.mark.parametrize("target", [t for t in TARGETS if t.form == "json"], ids=lambda target: target.name)
@pytest.mark.parametrize("unit", ["[", '{"a":'])
def test_target_survives_any_depth(target: Target, unit: str) -> None:
    """Nesting about as deep as the interpreter allows is where a message about it can fail."""
    keys = [word for word in target.words if len(word) < 30]
    closing = {"[": "]", '{"a":': "}"}[unit]
    with guarded() as rearm:
        for depth in (10, 500, *range(880, 1000, 3), 100_000):
            nested = unit * depth + "1" + closing * depth
            for key in keys:
                rearm()
                call(target, f'{{"schemaVersion":2,"spin_lock_version":0,"{key}":{nested}}}'.encode())


def test_spin_toml_survives_any_depth() -> None:
    with guarded() as rearm:
        for depth in (10, 300, 990, 3000):
            for key in ("spin_manifest_version", "component.a.source.package", "trigger.http", "component"):
                dotted = ".".join([key, *(["a"] * depth)])
                rearm()
                call(BY_NAME["spin.toml"], f"x.y=1\n{dotted} = 1\n".encode())
                rearm()
                call(BY_NAME["spin.toml"], f"spin_manifest_version = 2\n{dotted} = 1\n".encode())
