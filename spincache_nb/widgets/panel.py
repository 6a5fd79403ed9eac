"""The panel: tabs over one cache, or the plots of a fleet."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, overload

import ipywidgets as widgets

from spincache_nb.core.cache import Cache
from spincache_nb.errors import SpinCacheError
from spincache_nb.fleet import Fleet
from spincache_nb.frames.tables import Frames
from spincache_nb.show import count_text, size_text
from spincache_nb.widgets import parts
from spincache_nb.widgets.apps import AppsTab
from spincache_nb.widgets.explorer import Explorer
from spincache_nb.widgets.fleet import FleetPanel
from spincache_nb.widgets.pulling import PullTab
from spincache_nb.widgets.session import Session, cache_of
from spincache_nb.widgets.upkeep import CleanTab, HealthTab

TITLES = ("Explore", "Pull", "Apps", "Clean up", "Health")
VARIABLE = "SPINCACHE_DASHBOARD"
"""Environment variable in which the dashboard's notebook finds which cache and projects are meant."""

_FIGURES = {"apps": "Apps", "problems": "Health"}


class Panel(widgets.VBox):  # type: ignore[misc]  # ipywidgets has no types
    """A panel over one cache; made by `panel`.

    Attributes
    ----------
    explorer : Explorer
        The treemap in the first tab; what is selected there is selected in all tabs.
    pulling, apps, removing, health
        The other tabs, with their buttons and fields under names of their own.
    tabs : ipywidgets.Tab
        Shows one of them.
    head, alert : ipywidgets.HTML
        What stands above them: what is in the cache, and what went wrong.
    session
        What the tabs share.
    """

    def __init__(self, cache: Cache, projects: Sequence[str], options: Mapping[str, Any]) -> None:
        page = parts.Page(self._asked)
        self.session = session = Session(cache, projects, options, page.focus_on)
        self.head, self.alert = widgets.HTML(), session.alerts.line
        self.explorer = Explorer(cache=cache)
        self.pulling = PullTab(session)
        self.removing = CleanTab(session)
        self.apps = AppsTab(session, self._remove, self._update)
        self.health = HealthTab(session)
        explore = widgets.VBox([self.explorer, self.apps.actions, self.apps.opened])
        boxes = [explore, *(tab.box for tab in (self.pulling, self.apps, self.removing, self.health))]
        self.tabs = widgets.Tab(boxes, titles=TITLES, selected_index=0)
        super().__init__([parts.style(), self.head, self.alert, self.tabs, page])
        self.add_class(parts.PANEL_CLASS)
        self.tabs.observe(lambda change: session.alerts.turn(change["new"]), names="selected_index")
        session.on_frames += [self._show_head, self._explore]
        session.on_selection.append(self._mark)
        self.explorer.observe(lambda _change: session.select(self.explorer.apps), names="selection")
        self.explorer.on_figure.append(self._open_figure)
        self._show_head()
        session.refresh()

    def __repr__(self) -> str:
        return (
            "Panel over a Spin cache. No widgets here? sc.pull(), sc.frames and sc.plan_clear() do the same."
        )

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until nothing is pulled, removed or read any more; say whether that came in time (seconds)."""
        return self.session.wait(timeout)

    def turn(self, tab: str) -> None:
        self.tabs.selected_index = TITLES.index(tab)

    def close(self) -> None:
        """Stop all work and take the panel away."""
        self.session.close()
        super().close()

    def _repr_mimebundle_(self, **options: Any) -> Any:
        return parts.with_picture(super()._repr_mimebundle_(**options), self.explorer.png)

    def _explore(self) -> None:
        if self.session.frames is not None:
            self.explorer.load(self.session.frames, damaged=self.health.damaged)

    def _mark(self) -> None:
        if list(self.session.selected) != self.explorer.apps:
            self.explorer.selection = list(self.session.selected)

    def _open_figure(self, name: str) -> None:
        if name in _FIGURES:
            self.turn(_FIGURES[name])

    def _asked(self, action: str, reference: str) -> None:
        """Do what a name of an app stands for, wherever it was clicked."""
        known: dict[str, Callable[..., None]] = {
            "open": self._open,
            "update": self._update,
            "pull": self.pulling.pull_picked,
        }
        if action in known:
            self.session.guarded(partial(known[action], *filter(None, [reference])))()

    def _open(self, reference: str) -> None:
        if TITLES[self.tabs.selected_index] not in ("Explore", "Apps"):
            self.turn("Apps")
        self.apps.open_app(reference)

    def _remove(self) -> None:
        self.turn("Clean up")
        self.removing.plan_removal()

    def _update(self, *references: str) -> None:
        """Pull apps again, those that are selected unless one is named: tags move."""
        self.turn("Pull")
        self.pulling.pull_again(references or self.session.selected)

    def _show_head(self) -> None:
        frames = self.session.frames
        said = "reading" if frames is None else head_text(frames)
        self.head.value = parts.heading("Spin cache", said, str(self.session.cache.path))


def head_text(frames: Frames) -> str:
    size = size_text(int(frames.need("disk")["stored_bytes"].sum()))
    problems = len(frames.need("problems"))
    text = f"{count_text(len(frames.need('apps')), 'app')}, {size} on disk"
    return f"{text}, {count_text(problems, 'problem')} (see Health)" if problems else text


@overload
def panel(cache: Fleet) -> FleetPanel: ...


@overload
def panel(
    cache: Cache | str | os.PathLike[str] | None = None,
    projects: Sequence[str | os.PathLike[str]] = (),
    *,
    insecure: bool | None = None,
    ca: str | os.PathLike[str] | None = None,
    auth: tuple[str, str] | None = None,
    jobs: int | None = None,
) -> Panel: ...


def panel(
    cache: Cache | Fleet | str | os.PathLike[str] | None = None,
    projects: Sequence[str | os.PathLike[str]] = (),
    *,
    insecure: bool | None = None,
    ca: str | os.PathLike[str] | None = None,
    auth: tuple[str, str] | None = None,
    jobs: int | None = None,
) -> Panel | FleetPanel:
    """Show a panel to pull into a cache, look at its apps and what they share, and clear it.

    Parameters
    ----------
    cache
        The cache, or its path; this user's own unless given. It is read in the background, and nothing
        is asked of a network before a button is pressed. Or a fleet that `fleet.open` gave: then the
        panel shows its plots and nothing else, since snapshots can only be looked at.
    projects
        ``spin.toml`` files or folders of projects that use the cache too: what they need is kept.
    insecure
        None means plain HTTP for loopback hosts only; True forces HTTP, False HTTPS.
    ca
        File with further certificate authorities (PEM).
    auth
        Credentials to use ahead of the stores: ``(user, password)``.
    jobs
        Downloads at a time; as `pull` unless given.

    Returns
    -------
    Panel or FleetPanel
        A widget; the last line of a cell shows it. Its ``close()`` stops the work and takes it away.

    Raises
    ------
    TypeError
        If what is given is neither a cache nor a path nor a fleet.
    ValueError
        If a fleet is given together with what only a cache can be told.

    Notes
    -----
    Work goes on in threads beside the kernel's own, also when the browser's tab is closed; it stops
    when the kernel shuts down or restarts. All that the panel does can be done without it.

    Examples
    --------
    >>> panel("/srv/spin")  # doctest: +SKIP
    """
    if isinstance(cache, Fleet):
        if projects or any(option is not None for option in (insecure, ca, auth, jobs)):
            raise ValueError("a panel over a fleet pulls nothing: it takes no projects and no options")
        return FleetPanel(cache)
    options: dict[str, Any] = {"insecure": insecure, "ca": ca, "auth": auth}
    if jobs is not None:
        options["jobs"] = jobs
    return Panel(cache_of(cache), [os.fspath(project) for project in projects], options)


def notebook() -> Path:
    """Find the notebook that shows the dashboard; it may lie in a place that cannot be written."""
    return Path(__file__).with_name("dashboard.ipynb")


def environment_for(
    cache_dir: str | os.PathLike[str] | None, projects: Sequence[str | os.PathLike[str]] = ()
) -> dict[str, str]:
    """Say which variables a server needs, so that the notebook shows the cache that is meant."""
    meant = {
        "cache_dir": None if cache_dir is None else os.path.abspath(cache_dir),  # noqa: PTH100 - may hold ..
        "projects": [os.path.abspath(project) for project in projects],  # noqa: PTH100
    }
    return {VARIABLE: json.dumps(meant)}


def dashboard(environment: Mapping[str, str] | None = None) -> Panel:
    """Make the panel that the environment asks for; over this user's own cache if it asks for none."""
    text = (os.environ if environment is None else environment).get(VARIABLE, "{}")
    try:
        meant = json.loads(text)
        cache_dir, projects = meant.get("cache_dir"), [str(one) for one in meant.get("projects", [])]
    except (ValueError, AttributeError, TypeError) as exc:
        raise SpinCacheError(
            VARIABLE, "a JSON object with cache_dir and projects", "something else", "unset it"
        ) from exc
    return panel(cache_dir, projects)
