"""The panel: four tabs over one cache."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any, overload

import ipywidgets as widgets

from spincache_nb.analysis.inputs import Frames
from spincache_nb.core.cache import Cache
from spincache_nb.fleet import Fleet
from spincache_nb.show import count_text, escaped, size_text
from spincache_nb.widgets import look
from spincache_nb.widgets.apps_tab import AppsTab
from spincache_nb.widgets.clear_tab import ClearTab
from spincache_nb.widgets.desk import Desk
from spincache_nb.widgets.fleet_panel import FleetPanel
from spincache_nb.widgets.pull_tab import PullTab
from spincache_nb.widgets.sharing_tab import SharingTab

TITLES = ("Pull", "Apps", "Sharing", "Clear")


class Panel(widgets.VBox):  # type: ignore[misc]  # ipywidgets has no types
    """A panel over one cache; made by `panel`.

    Parameters
    ----------
    cache
        The cache.
    projects
        Paths of projects that use it, too.
    options
        Keyword arguments of `pull` and `plan_pull`.
    """

    def __init__(self, cache: Cache, projects: Sequence[str], options: Mapping[str, Any]) -> None:
        self._desk = Desk(cache, projects, options)
        self._head = widgets.HTML()
        self._pull = PullTab(self._desk)
        self._clear = ClearTab(self._desk)
        self._apps = AppsTab(self._desk, self._remove)
        self._sharing = SharingTab(self._desk)
        tabs = (self._pull, self._apps, self._sharing, self._clear)
        self._tabs = widgets.Tab([tab.box for tab in tabs], titles=TITLES, selected_index=0)
        super().__init__([widgets.HTML(look.STYLE), self._head, self._desk.alerts.line, self._tabs])
        self.add_class(look.PANEL_CLASS)
        self._tabs.observe(self._turned, names="selected_index")
        self._desk.on_frames.append(self._show_head)
        self._show_head()
        self._desk.refresh()

    def __repr__(self) -> str:
        return (
            "Panel over a Spin cache. No widgets here? sc.pull(), sc.frames and sc.plan_clear() do the same."
        )

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until nothing is pulled, removed or read any more.

        Parameters
        ----------
        timeout
            Seconds to wait at most; for ever unless given.

        Returns
        -------
        bool
            Whether that came in time.
        """
        return self._desk.wait(timeout)

    def close(self) -> None:
        """Stop all work and take the panel away."""
        self._desk.close()
        super().close()

    def _remove(self) -> None:
        self._tabs.selected_index = TITLES.index("Clear")
        self._clear.plan_removal()

    def _turned(self, change: Any) -> None:
        self._desk.alerts.turn(change["new"])
        is_sharing = change["new"] == TITLES.index("Sharing")
        self._desk.guarded(lambda: self._sharing.look(is_looked_at=is_sharing))()

    def _show_head(self) -> None:
        frames = self._desk.frames
        said = "reading" if frames is None else head_text(frames)
        path = escaped(str(self._desk.cache.path))
        self._head.value = (
            f'<div class="sc-head"><b>Spin cache</b><span role="status">{escaped(said)}</span>'
            f"<code>{path}</code></div>"
        )


def head_text(frames: Frames) -> str:
    """Say in a few words what is in a cache."""
    size = size_text(int(frames.need("disk")["stored_bytes"].sum()))
    problems = len(frames.need("problems"))
    text = f"{count_text(len(frames.need('apps')), 'app')}, {size} on disk"
    return f"{text}, {count_text(problems, 'problem')} (see frames.problems)" if problems else text


@overload
def panel(cache: Fleet) -> FleetPanel: ...


@overload
def panel(
    cache: Cache,
    projects: Sequence[str | os.PathLike[str]] = (),
    *,
    insecure: bool | None = None,
    ca: str | os.PathLike[str] | None = None,
    auth: tuple[str, str] | None = None,
    jobs: int | None = None,
) -> Panel: ...


def panel(
    cache: Cache | Fleet,
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
        The cache; it is read in the background, and nothing is asked of a network before a button
        is pressed. Or a fleet that `fleet.open` gave: then the panel shows its plots and nothing
        else, since snapshots can only be looked at.
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
    ValueError
        If a fleet is given together with what only a cache can be told.

    Notes
    -----
    Work goes on in threads beside the kernel's own, also when the browser's tab is closed; it stops
    when the kernel shuts down or restarts. All that the panel does can be done without it: `pull`,
    `plan_pull`, `pull_sources`, `frames.apps`, `analysis.freed_by`, `plots`, `plan_remove`,
    `plan_prune`, `plan_clear`.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     made = panel(Cache(folder))
    ...     arrived = made.wait(60)
    ...     made.close()
    >>> arrived
    True
    """
    if isinstance(cache, Fleet):
        if projects or any(option is not None for option in (insecure, ca, auth, jobs)):
            raise ValueError("a panel over a fleet pulls nothing: it takes no projects and no options")
        return FleetPanel(cache)
    options: dict[str, Any] = {"insecure": insecure, "ca": ca, "auth": auth}
    if jobs is not None:
        options["jobs"] = jobs
    return Panel(cache, [os.fspath(project) for project in projects], options)
