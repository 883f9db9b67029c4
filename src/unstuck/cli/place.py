"""Where a command works: the application it was told about, and the store behind it.

`--app` (or UNSTUCK_APP) names the application. `--url` names a store and wins over the application's own;
UNSTUCK_URL fills in where nobody says one. A command that needs no task code works with only a URL, and with
`--prefix` (or UNSTUCK_PREFIX) where the tables have other names than usual: an application says its own. Before
anything is asked of a store its schema is looked at: a store that is missing, not migrated, half migrated
or of a newer version is refused in one sentence, and looking never creates a file. The one exception is
`prepare`, for commands that put work in: it gives a *new* SQLite file its tables.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from unstuck.model.errors import BadSetting, SchemaMismatch, StoreConflict, StoreUnavailable

if TYPE_CHECKING:
    from unstuck.app.app import App
    from unstuck.storage.opening import Keeper
    from unstuck.storage.plan import Plan
    from unstuck.storage.protocol import Store

R = TypeVar("R")

MAKING_SECONDS = 10.0
"""How long a new file may be busy with somebody else making its tables."""

NO_STORE = (
    "no store: say --app package.module:app or --url sqlite:///jobs.db, or set UNSTUCK_APP or UNSTUCK_URL"
)
NOT_OF_APP = "--prefix goes with --url, for commands that need no app: an app says its own prefix"
NO_APP = "this command needs the app: say --app package.module:app, or set UNSTUCK_APP"


@dataclass
class Place:
    """`url_wins` and `prefix_wins` say that it was written on the command line, not found in the environment."""

    app_name: str | None = None
    url: str | None = None
    url_wins: bool = False
    prefix: str | None = None
    prefix_wins: bool = False
    _app: App | None = None
    _keeper: Keeper | None = None
    _closing: list[Keeper] = field(default_factory=list["Keeper"])

    @property
    def override(self) -> str | None:
        """The URL that replaces the application's own, with an absolute path; None where it stays."""
        if not (self.url and self.url_wins):
            return None
        from unstuck.storage.opening import absolute_url

        return absolute_url(self.url)

    def app(self) -> App:
        """The application, imported here, on the store that was asked for. Raises BadSetting."""
        if self._app is None:
            from unstuck.app.app import App
            from unstuck.engine.importing import load_application

            name = self.needed_app()
            found: Any = load_application(name)
            if not isinstance(found, App):
                raise BadSetting(f"{name!r} is a {type(found).__name__}, not an App")
            if self.override is not None:
                found.use_url(self.override)
            self._app = found
        return self._app

    def needed_app(self) -> str:
        """The application's name. Raises BadSetting where none was said, or a prefix that would not be its own."""
        if self.prefix_wins:
            raise BadSetting(NOT_OF_APP)
        if not self.app_name:
            raise BadSetting(NO_APP)
        return self.app_name

    def keeper(self) -> Keeper:
        """The store, unopened and unchecked. Raises BadSetting."""
        if self._keeper is None:
            if self.app_name and not (self.url_wins and self.prefix_wins):
                self._keeper = self.app().keeper
            elif self.url:
                from unstuck.storage.opening import USUAL_PREFIX, open_keeper

                self._keeper = open_keeper(self.url, USUAL_PREFIX if self.prefix is None else self.prefix)
            else:
                raise BadSetting(NO_STORE)
            self._closing.append(self._keeper)
        return self._keeper

    @property
    def store(self) -> Store:
        """The promises of a store that is there and migrated. Raises SchemaMismatch, StoreError."""
        check(self.keeper())
        return self.keeper().store

    def run(self, plan: Plan[R]) -> R:
        """Run one plan, blocking."""
        return self.keeper().run(plan)

    def close(self) -> None:
        """Let the connections go."""
        for keeper in self._closing:
            keeper.close()


pass_place = click.make_pass_decorator(Place)


def file_of(keeper: Keeper) -> Path | None:
    """The file of an SQLite store."""
    found = getattr(keeper, "path", None)
    return found if isinstance(found, Path) else None


def is_missing(keeper: Keeper) -> bool:
    """Whether it is an SQLite file that does not exist, or holds nothing yet."""
    file = file_of(keeper)
    return file is not None and not (file.exists() and file.stat().st_size)


def check(keeper: Keeper) -> None:
    """Refuse a store that this version cannot work with. Raises SchemaMismatch, StoreError."""
    if is_missing(keeper):
        raise SchemaMismatch(f"there is no store at {keeper.url_shown}: the file does not exist or is empty")
    status = patiently(keeper.migrator.status)
    if not status.is_current:
        raise SchemaMismatch(with_remedy(keeper, status.state, status.sentence))


def prepare(keeper: Keeper) -> None:
    """The same, but a new SQLite file is made and given its tables."""
    if is_missing(keeper):
        file = file_of(keeper)
        assert file is not None
        if not file.parent.is_dir():
            raise StoreUnavailable(f"cannot create {file}: there is no folder {file.parent}")
        patiently(keeper.migrator.apply)
    check(keeper)


def patiently(act: Callable[[], R]) -> R:
    """Do it again while others make or migrate the same file: several workers may start at once."""
    end = time.monotonic() + MAKING_SECONDS
    while True:
        try:
            return act()
        except StoreConflict:
            if time.monotonic() > end:
                raise
            time.sleep(0.05)


def with_remedy(keeper: Keeper, state: str, sentence: str) -> str:
    """The sentence of a schema that does not fit, with the store it is about and what to do."""
    text = sentence.rstrip(".")
    if state in ("empty", "behind") and "migrate apply" not in text:
        text += ": run unstuck migrate apply"
    return text if keeper.url_shown in text else f"{keeper.url_shown}: {text}"
