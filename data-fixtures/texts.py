"""Text files that the demo apps mount, version by version; made here, so that nobody has to keep them."""

from __future__ import annotations

import json
from collections.abc import Sequence

Files = dict[str, str]

CANARY = "spincache-demo-canary-not-a-secret"
"""How every made-up secret in the demo apps begins."""

ROBOTS = "User-agent: *\nDisallow: /drafts/\n"


def _page(title: str, body: str, *, stylesheet: str = "assets/bootstrap.min.css") -> str:
    """One page of a web site."""
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<title>{title}</title>\n<link rel="stylesheet" href="{stylesheet}">\n'
        f'</head>\n<body class="container">\n<h1>{title}</h1>\n{body}</body>\n</html>\n'
    )


# The handbook of numbers: over 500 small files -------------------------------------------------------


def _factors(number: int) -> list[int]:
    """The prime factors of a number, smallest first, repeated as often as they divide it."""
    found = []
    rest, divisor = number, 2
    while divisor * divisor <= rest:
        while rest % divisor == 0:
            found.append(divisor)
            rest //= divisor
        divisor += 1
    return [*found, rest] if rest > 1 else found


def _is_prime(number: int) -> bool:
    return _factors(number) == [number]


def _next_prime(number: int) -> int:
    candidate = number + 1
    while not _is_prime(candidate):
        candidate += 1
    return candidate


def _number_page(number: int, last: int, extra: Sequence[tuple[str, str]]) -> str:
    """The page of one number in a handbook that ends at ``last``."""
    rows = [
        ("Binary", format(number, "b")),
        ("Hexadecimal", format(number, "x")),
        ("Square", str(number * number)),
        ("Prime factors", " x ".join(map(str, _factors(number))) or "none"),
        ("Divisors", " ".join(str(d) for d in range(1, number + 1) if number % d == 0)),
        *extra,
    ]
    cells = "".join(f"<tr><th>{name}</th><td>{value}</td></tr>\n" for name, value in rows)
    ways = [
        f'<a href="{other:04}.html">{word}: {other}</a>\n'
        for word, other in (("previous", number - 1), ("next", number + 1))
        if 1 <= other <= last
    ]
    body = f'<table class="table">\n{cells}</table>\n<nav>\n{"".join(ways)}</nav>\n'
    return _page(f"Number {number}", body, stylesheet="../assets/bootstrap.min.css")


def _handbook(version: str, last: int, *, next_primes: bool, dozens: bool) -> Files:
    """All text files of one edition of the handbook."""
    files = {"robots.txt": ROBOTS, "version.txt": f"{version}\n"}
    for number in range(1, last + 1):
        extra = []
        if next_primes and _is_prime(number):
            extra.append(("Next prime", str(_next_prime(number))))
        if dozens and number % 12 == 0:
            extra.append(("Dozens", str(number // 12)))
        files[f"numbers/{number:04}.html"] = _number_page(number, last, extra)
    links = "".join(f'<li><a href="numbers/{n:04}.html">{n}</a></li>\n' for n in range(1, last + 1))
    files["index.html"] = _page("Handbook of numbers", f"<p>Edition {version}</p>\n<ul>\n{links}</ul>\n")
    return files


def docs() -> dict[str, Files]:
    """The archive-style app: 512 pages, later 520."""
    first = _handbook("1.0.0", 512, next_primes=False, dozens=False)
    draft = _page("Draft", "<p>To be written: what is a dozen, and who still counts in dozens?</p>\n")
    return {
        "1.0.0": first | {"drafts/dozens.html": draft},
        "1.1.0": _handbook("1.1.0", 512, next_primes=True, dozens=False) | {"drafts/dozens.html": draft},
        "1.2.0": _handbook("1.2.0", 520, next_primes=True, dozens=True),
    }


# The other apps --------------------------------------------------------------------------------------


def hello() -> dict[str, Files]:
    """The component app: one file small enough to be inlined, with something secret-looking in it."""
    settings = f"GREETING_LANGUAGE=en\nGREETING_TOKEN={CANARY}-file\n"
    return {version: {".env": settings} for version in ("1.0.0", "1.0.1", "1.1.0")}


def site() -> dict[str, Files]:
    """The static site: pages around Bootstrap's own files."""

    def edition(bootstrap: str, opening: str) -> Files:
        script = '<script src="assets/bootstrap.bundle.min.js"></script>\n'
        home = f'<p class="lead">Coffee, cake and <a href="about.html">opening hours</a>.</p>\n{script}'
        about = f"<p>Open {opening}. Set in Bootstrap {bootstrap}.</p>\n"
        return {
            "404.html": _page("Nothing here", '<p>Back to the <a href="/">start</a>.</p>\n'),
            "about.html": _page("About the Café Zoë", about),
            "index.html": _page("Café Zoë", home),
            "robots.txt": ROBOTS,
        }

    return {
        "1.0.0": edition("5.3.6", "from 8 to 17"),
        "1.1.0": edition("5.3.6", "from 8 to 17, Sundays from 9"),
        "1.2.0": edition("5.3.8", "from 7 to 18, Sundays from 9"),
    }


def playground() -> dict[str, Files]:
    """The app that shares its wasm: what its highlighter is tried on."""
    query = (
        ";; What to colour in a JSON document.\n"
        "(pair key: (string) @property)\n(string) @string\n(number) @number\n"
        "(null) @constant\n(true) @boolean\n(false) @boolean\n"
    )
    sample = json.dumps(
        {"name": "sample", "numbers": list(range(1, 25)), "nested": {"ready": True, "comment": None}},
        indent=2,
    )
    first = {"queries/highlights.scm": query, "samples/sample.json": sample + "\n"}
    return {
        "0.1.0": first,
        "0.2.0": first,
        "0.3.0": first | {"queries/highlights.scm": query + "(comment) @comment\n"},
    }


def redact() -> dict[str, Files]:
    """The old-style app: word lists; its third version changes only these."""
    places = "".join(f"{name}\n" for name in ("Aarhus", "Berlin", "Córdoba", "Dakar", "Évora", "Fukuoka"))
    names = [f"{first} {last}" for first in ("Ada", "Bo", "Cleo", "Dara") for last in ("Li", "Moe", "Niño")]
    lists = {
        "rules/names.txt": "".join(f"{name}\n" for name in names),
        "rules/places.txt": places * 3,
        "rules/version.txt": "1\n",
    }
    more = "".join(f"{name}\n" for name in [*names, "Emre Okafor", "Fay Okafor"])
    return {
        "0.1.0": lists,
        "0.2.0": lists,
        "0.2.1": lists | {"rules/names.txt": more, "rules/version.txt": "2\n"},
    }
