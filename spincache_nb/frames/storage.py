"""Frames of what is on the disk: who needs which blob, the blobs, all files, and what is wrong."""

from __future__ import annotations

import numpy as np
import pandas as pd

from spincache_nb.frames.blob_rows import STANDINGS, BlobColumns, columns_of_area
from spincache_nb.frames.found import Caches, Found, Projects, find
from spincache_nb.frames.picking import AREAS_IN_ORDER, picked
from spincache_nb.frames.schemas import (
    BLOBS_SCHEMA,
    DISK_SCHEMA,
    PROBLEMS_SCHEMA,
    UNNAMED_SCHEMA,
    USES_SCHEMA,
)
from spincache_nb.inventory import unnamed_members


def uses(caches: Caches, *, projects: Projects = ()) -> pd.DataFrame:
    """Say who needs which stored blob.

    Parameters
    ----------
    caches
        A cache, or several; ``cache`` is then the first column.
    projects
        ``spin.toml`` files, or folders that hold one, of projects that use the cache too. All their
        build profiles count, and ``.spin/target-environments.lock`` beside them. Packages that they
        name by version count with the content that they had when `pull_sources` last looked them up
        on this machine; else only their registry knows which content they are.

    Returns
    -------
    pandas.DataFrame
        One row per user, digest and area, sorted by these. Only what is stored is listed; what is
        missing is in `problems`.

        ============  ========  ===============================================================
        column        dtype     meaning
        ============  ========  ===============================================================
        user          category  reference of an app, or path of a project as it was given
        digest        category  digest of the blob
        area          category  ``wasm`` or ``data``
        stored_bytes  Int64     size of the file
        via           category  the first that holds of ``layer``, ``archive member``,
                                ``content ref`` (the locked app names it), ``spin.toml`` and
                                ``environment lock``
        ============  ========  ===============================================================

    Raises
    ------
    SpinManifestError
        If there is no project at one of the paths given.

    Notes
    -----
    Blobs are looked up as Spin looks them up: an app's wasm in ``wasm``, else in ``data``; a package
    in ``wasm`` only; mounted files in ``data`` only. What the locked app mounts from an archive
    layer is an archive member. Archives are opened only if blobs in ``data`` remain that nobody names.
    """
    return uses_of(find(caches, projects))


def blobs(caches: Caches, *, projects: Projects = ()) -> pd.DataFrame:
    """List the files in ``wasm/`` and ``data/``.

    Parameters
    ----------
    caches
        A cache, or several; ``cache`` is then the first column.
    projects
        As for `uses`; what they name is referenced.

    Returns
    -------
    pandas.DataFrame
        One row per file, sorted by area and name.

        ============  ===================  ====================================================
        column        dtype                meaning
        ============  ===================  ====================================================
        name          string               file name; bytes that are not UTF-8 are escaped
        digest        string               digest by which the file is found, missing if by none
        area          category             ``wasm`` or ``data``
        stored_bytes  Int64                size
        modified_at   datetime64[ns, UTC]  when it was last written
        standing      category             ``referenced``; ``unreferenced``: no app and no given project
                                           needs it; ``temporary``: a download that goes on or was
                                           killed; ``misnamed``: nothing finds it by its name, since it
                                           is no digest or the second spelling of one
        ============  ===================  ====================================================

    Raises
    ------
    SpinManifestError
        If there is no project at one of the paths given.

    Notes
    -----
    Bytes are not compared with names here; ``verify`` does that. So a blob that Spin stored on
    purpose under the digest of a manifest (definitions of target environments, Spin main) is
    ``referenced`` if its project is given, else ``unreferenced``.
    """
    return blobs_of(find(caches, projects))


def problems(caches: Caches, *, projects: Projects = ()) -> pd.DataFrame:
    """List everything that is wrong with a cache, as far as it shows without hashing.

    Parameters
    ----------
    caches
        A cache, or several; ``cache`` is then the first column.
    projects
        As for `uses`; what cannot be read of them is listed too.

    Returns
    -------
    pandas.DataFrame
        One row per fault, sorted by path and kind.

        =========  ========  ==================================================================
        column     dtype     meaning
        =========  ========  ==================================================================
        path       string    where, below ``registry``; of a project, its file
        reference  string    the app it concerns; where there are several, the first
        kind       category  what kind of fault, in plain words
        detail     string    what was expected, and what was found
        remedy     string    what to do about it
        =========  ========  ==================================================================

    Raises
    ------
    SpinManifestError
        If there is no project at one of the paths given.

    Notes
    -----
    Of blobs: ``missing blob``, ``missing archive member``, ``damaged blob``, ``damaged archive``,
    ``blob in the wrong area``, ``second copy``.

    Of a tag's documents: ``missing manifest``, ``damaged manifest``, ``missing locked app``,
    ``damaged locked app``, ``stale locked app``, ``missing config``, ``damaged config``,
    ``stale config`` (of a package), ``config in the locked app's place``,
    ``locked app of an unknown version``, ``fault in the locked app``, ``neither app nor package``,
    ``package without exactly one layer``.

    Of names and places: ``temporary file``, ``name of an old Spin``, ``misnamed file``, ``foreign``,
    ``empty tag folder``, ``misplaced manifest``, ``link``, ``not a file``, ``file in a folder's place``,
    ``folder in a file's place``, ``unreadable file``, ``unreadable folder``. Of projects:
    ``project not understood``.

    A blob counts as damaged if its size is not the declared one, or if it is empty and should not
    be. No faults are: content that is inline in the locked app and has no blob, the config of a
    package, a tag directory named by a digest, blobs that nobody needs.
    """
    return problems_of(find(caches, projects))


def disk(caches: Caches) -> pd.DataFrame:
    """List every regular file under ``registry``.

    Parameters
    ----------
    caches
        A cache, or several; ``cache`` is then the first column.

    Returns
    -------
    pandas.DataFrame
        One row per file, sorted by path.

        ============  ========  ===============================================================
        column        dtype     meaning
        ============  ========  ===============================================================
        path          string    path below ``registry``
        area          category  ``wasm``, ``data``, ``manifests`` (the two documents of a tag) or
                                ``other``
        stored_bytes  Int64     bytes on disk; 0 for further names of a file that has several
        same_as       string    path of the name that counts its bytes, for such a further name
        ============  ========  ===============================================================
    """
    return disk_of(find(caches))


def uses_of(found: Found) -> pd.DataFrame:
    """Make the frame of uses from inventories."""
    rows = found.uses
    return found.frame(
        USES_SCHEMA,
        picked([user.cache for user in found.users], rows.owners),
        {
            "user": picked([user.name for user in found.users], rows.owners),
            "digest": rows.digests,
            "area": rows.areas,
            "stored_bytes": rows.sizes,
            "via": rows.vias,
        },
    )


def blobs_of(found: Found) -> pd.DataFrame:
    """Make the frame of blobs from inventories."""
    places = [(name, area, inventory.blobs) for name, inventory in found for area in AREAS_IN_ORDER]
    parts = [columns_of_area(blobs, area) for _, area, blobs in places]
    rows = BlobColumns.joined(parts)
    part_of = np.repeat(np.arange(len(parts)), [len(part.names) for part in parts])
    return found.frame(
        BLOBS_SCHEMA,
        picked([name for name, _, _ in places], part_of),
        {
            "name": rows.names,
            "digest": rows.digests,
            "area": picked([area for _, area, _ in places], part_of),
            "stored_bytes": rows.sizes,
            "modified_at": rows.times,
            "standing": picked(STANDINGS, rows.standings),
        },
    )


def problems_of(found: Found) -> pd.DataFrame:
    """Make the frame of problems from inventories."""
    rows = [(name, problem) for name, inventory in found for problem in inventory.problems]
    return found.frame(
        PROBLEMS_SCHEMA,
        (name for name, _ in rows),
        {
            "path": (problem.path for _, problem in rows),
            "reference": (problem.reference for _, problem in rows),
            "kind": (problem.kind for _, problem in rows),
            "detail": (problem.detail for _, problem in rows),
            "remedy": (problem.remedy for _, problem in rows),
        },
    )


def disk_of(found: Found) -> pd.DataFrame:
    """Make the frame of all files from inventories."""
    rows = [(name, file) for name, inventory in found for file in inventory.files]
    return found.frame(
        DISK_SCHEMA,
        (name for name, _ in rows),
        {
            "path": (file.path for _, file in rows),
            "area": (file.area for _, file in rows),
            "stored_bytes": (file.stored_bytes for _, file in rows),
            "same_as": (file.same_as for _, file in rows),
        },
    )


def unnamed_of(found: Found) -> pd.DataFrame:
    """Make the frame of archive members that no app names; it reads the archives of the caches."""
    rows = [(name, *row) for name, inventory in found for row in unnamed_members(inventory)]
    return found.frame(
        UNNAMED_SCHEMA,
        (name for name, _, _ in rows),
        {"reference": (user for _, user, _ in rows), "digest": (str(digest) for _, _, digest in rows)},
    )
