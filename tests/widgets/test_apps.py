"""The list of apps: sorted, filtered, paged and chosen from, without a widget."""

import time
from datetime import UTC, datetime

import pytest

from spincache_nb.widgets.apps import App, AppList


def app(name, freed=0, kept=0, day=None):
    pulled = datetime(2026, 3, day, tzinfo=UTC) if day else None
    return App(f"ghcr.io/org/{name}", freed + kept, freed, kept, pulled)


APPS = [app("b:1", 10, 5, 2), app("a:1", 10, 90, 3), app("c:1", 30, 0, None), app("d:2", 1, 1, 1)]


def names(apps):
    return [one.reference.removeprefix("ghcr.io/org/") for one in apps.shown()]


def test_list_begins_with_what_frees_most():
    assert names(AppList(APPS)) == ["c:1", "a:1", "b:1", "d:2"]


@pytest.mark.parametrize(
    ("order", "first", "again"),
    [
        ("reference", ["a:1", "b:1", "c:1", "d:2"], ["d:2", "c:1", "b:1", "a:1"]),
        ("stored_bytes", ["a:1", "c:1", "b:1", "d:2"], ["d:2", "b:1", "c:1", "a:1"]),
        ("kept_bytes", ["a:1", "b:1", "d:2", "c:1"], ["c:1", "d:2", "b:1", "a:1"]),
        ("pulled_at", ["a:1", "b:1", "d:2", "c:1"], ["c:1", "d:2", "b:1", "a:1"]),
    ],
)
def test_sort_by_a_column_and_back(order, first, again):
    apps = AppList(APPS)
    apps.sort_by(order)  # type: ignore[arg-type]
    assert names(apps) == first
    apps.sort_by(order)  # type: ignore[arg-type]
    assert names(apps) == again


def test_filter_takes_words_in_any_case():
    apps = AppList(APPS)
    apps.filter("ORG :1  ghcr")
    assert names(apps) == ["c:1", "a:1", "b:1"]
    assert apps.place_text() == "1 to 3 of 3 (1 hidden)"
    apps.filter("nothing like it")
    assert apps.place_text() == "none of 4 apps has that in its name"
    assert apps.page_count == 1


def test_pages_are_turned_as_far_as_there_are_any():
    apps = AppList([app(f"n{n:02}:1") for n in range(25)], rows_shown=10)
    apps.sort_by("reference")
    assert apps.place_text() == "1 to 10 of 25"
    for pages, text in [
        (1, "11 to 20 of 25"),
        (1, "21 to 25 of 25"),
        (1, "21 to 25 of 25"),
        (-9, "1 to 10 of 25"),
    ]:
        apps.turn(pages)
        assert apps.place_text() == text
    apps.turn(2)
    apps.replace(APPS)
    assert (apps.page, len(apps.shown())) == (0, 4)


def test_selection_survives_filter_sort_and_pages_but_not_removal():
    apps = AppList(APPS, rows_shown=2)
    apps.selected.add("ghcr.io/org/a:1")
    apps.filter("d:2")
    apps.selected.update(app.reference for app in apps.matching)
    apps.filter("")
    apps.sort_by("reference")
    apps.turn(1)
    assert apps.selected == {"ghcr.io/org/a:1", "ghcr.io/org/d:2"}
    apps.replace(APPS[:2])
    assert apps.selected == {"ghcr.io/org/a:1"}


def test_ten_thousand_apps_are_filtered_while_one_types():
    apps = AppList([app(f"app-{n}:1", n) for n in range(10_000)])
    start = time.process_time()
    for text in ("a", "ap", "app-99", "app-999", ""):
        apps.filter(text)
    assert time.process_time() - start < 1
    assert len(apps.shown()) == 12
