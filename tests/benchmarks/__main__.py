"""``python -m tests.benchmarks [pulls|reads|report|growth] [--rounds N] [--only NAME ...]``.

``--only`` names artifacts of ``pulls``, or shapes of ``reads`` and ``growth``.
"""

from __future__ import annotations

import argparse


def main() -> None:
    """Run the benchmarks that are named, or all but those that fetch packages."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks", description=__doc__)
    parser.add_argument("which", nargs="*", default=["pulls", "reads", "report", "growth"])
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--only", nargs="*", default=[], help="artifacts: big many mix app; or shapes")
    parser.add_argument(
        "--most", type=int, default=2000, help="apps in the largest cache of reads and growth"
    )
    parser.add_argument("--of", nargs="*", default=[], help="operations of growth")
    arguments = parser.parse_args()
    for which in arguments.which:
        if which == "pulls":
            from tests.benchmarks import pulls

            pulls.main(arguments.rounds, arguments.only)
        elif which == "reads":
            from tests.benchmarks import reads

            reads.main(arguments.rounds, arguments.only, arguments.most)
        elif which == "report":
            from tests.benchmarks import reporting

            reporting.main(arguments.rounds)
        elif which == "growth":
            from tests.benchmarks import growth

            growth.main(arguments.most, arguments.only, arguments.of)
        else:
            parser.error(f"no benchmark is called {which}")


if __name__ == "__main__":
    main()
