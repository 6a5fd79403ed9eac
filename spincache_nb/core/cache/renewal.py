"""Writing the locked app of a cached tag again, without touching its manifest."""

from __future__ import annotations

from spincache_nb.core.cache import files
from spincache_nb.core.cache.found import CachedTag
from spincache_nb.core.cache.store import Cache
from spincache_nb.errors import CacheWriteError


def renew_locked_app(cache: Cache, tag: CachedTag, content: bytes, *, durable: bool = False) -> None:
    """Replace ``config.json`` of a cached tag in one step."""
    if cache.path not in tag.path.parents:
        raise CacheWriteError(str(tag.path), f"a folder below {cache.path}", "another", "nothing was written")
    new, _ = files.new_file_in(tag.path, root=cache.path, durable=durable)
    try:
        new.write(content)
        new.replace(tag.locked_app_path)
    except BaseException:
        new.discard()
        raise
