"""Where the bench works: on the user's store, and in nothing of the user's.

On PostgreSQL it makes tables with a prefix drawn for this run, in the database that it is given; for SQLite a file of its own
beside the store's, so that it lies on the same disk. Both are gone afterwards, however the run ends, with Ctrl-C too.
"""

from __future__ import annotations

import secrets
import shutil
import tempfile
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from unstuck.demo.clearing import BENCH_PREFIX, drop_tables
from unstuck.demo.leaving import undisturbed_exit
from unstuck.model.errors import BadSetting, StoreUnavailable
from unstuck.storage.opening import Keeper, absolute_url, open_keeper, sqlite_path

HOME_PREFIX = "unstuck-measure-"


@dataclass(frozen=True, slots=True)
class Bench:
    """A store to measure, with the schema in place, and a folder for logs."""

    keeper: Keeper
    url: str
    prefix: str
    home: Path


@contextmanager
def placed(url: str, tell: Callable[[str], None]) -> Generator[Bench]:
    """Make it, and take it away. Raises BadSetting and StoreErrors."""
    prefix = f"{BENCH_PREFIX}{secrets.token_hex(3)}_"
    with undisturbed_exit() as leaving:
        home = Path(tempfile.mkdtemp(prefix=HOME_PREFIX)).resolve()
        leaving.callback(shutil.rmtree, home, ignore_errors=True)
        own_url = _beside(url, prefix) if url.startswith("sqlite:") else absolute_url(url)
        keeper = open_keeper(own_url, prefix, application="unstuck bench")
        if keeper.engine == "memory":
            raise BadSetting("memory:// lives in one process only: the bench starts workers")
        leaving.callback(keeper.close)
        if url.startswith("sqlite:"):
            leaving.callback(_remove, sqlite_path(own_url))
        else:
            keeper.migrator.status()  # a store that cannot be reached says so here, before anything is made
            leaving.callback(drop_tables, keeper, prefix)
        keeper.migrator.apply()
        tell(f"works in {keeper.url_shown}, tables {prefix}…")
        yield Bench(keeper, own_url, prefix, home)


def _beside(url: str, name: str) -> str:
    path = sqlite_path(absolute_url(url))
    if not path.parent.is_dir():
        raise StoreUnavailable(f"cannot work beside {path}: there is no folder {path.parent}")
    return f"sqlite:///{quote(str(path.parent / f'.{name}.db'))}"


def _remove(path: Path) -> None:
    for end in ("", "-wal", "-shm", "-journal"):
        path.with_name(path.name + end).unlink(missing_ok=True)
