"""SQL as named blocks: read from `.sql` files, resolved once, spelled for whichever driver asks.

`common.sql` holds every statement once; an engine's own `statements.sql` replaces only what that engine
must say differently, and says why. A block begins with `-- name: claim`, then lines of purpose, then
one statement. Loading fails on a block that is missing, that nobody asks for, or that repeats the
common text word for word, so the files cannot drift from the code. A `-- part: job` is a piece of text
that several blocks say alike, as `{part job}`.

Words in braces are resolved at loading: `{jobs}` is a table with its prefix, `{state.ready}` a literal
from the table of states (SQL never spells a state itself), `{default.step_us}` a number of the model;
everything else, such as `{now}`, `{after EXPR}` or `{rows v: id uuid}`, is a phrase that each engine has
its own words for (`Dialect`). Values are always bound, as `:name`; nothing else is ever put into a text.
"""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import Enum
from functools import cache
from importlib import import_module, resources
from typing import Any

from unstuck.model.errors import BadSetting
from unstuck.model.job import PRIORITY_STEP_US
from unstuck.model.states import State
from unstuck.storage.plan import Statement

TABLES = (
    "jobs",
    "attempts",
    "job_logs",
    "workers",
    "worker_tasks",
    "queues",
    "notices",
    "audit",
    "meta",
    "migrations",
)
"""The tables of the ladder."""

ON_REQUEST = ("events",)
"""Tables that only some stores have: see `storage.event_log`."""

_NAME_LINE = re.compile(r"^-- (name|part): (\S+)\s*$")
_FRAGMENT = re.compile(r"\{(/?[a-z][^{}]*)\}")
_PARAMETER = re.compile(r"(?<![:\w]):([a-z_][a-z0-9_]*)")
_PREFIX = re.compile(r"[a-z_][a-z0-9_]{0,30}")

SCRIPTS = ("event_log_off", "event_log_on")
"""Several statements that are run as one text; the parts that they mention count as asked for."""

_asked_for: set[str] = set()


class BrokenLibrary(Exception):
    """The `.sql` files and the code do not fit together: a bug in unstuck."""


class Style(Enum):
    """How a driver wants its parameters: `:name`, `%(name)s`, or `$1` in the order of the names."""

    NAMED = "named"
    PYFORMAT = "pyformat"
    DOLLAR = "dollar"

    __hash__ = object.__hash__  # asked for at every statement, and that of enumerations is none of C's


@dataclass(frozen=True, slots=True)
class Block:
    """One named statement as it stands in a file."""

    name: str
    purpose: str
    text: str


@dataclass(slots=True)
class Spelled:
    """A statement ready for a driver: `values` in the order of `names`."""

    text: str
    names: tuple[str, ...]
    values: Mapping[str, Any]

    @property
    def in_order(self) -> list[Any]:
        """The values in the order in which `$1`, `$2`, … name them."""
        return [self.values[name] for name in self.names]


def block(name: str) -> str:
    """The name itself, noted as asked for: loading fails unless every engine has a block of that name."""
    _asked_for.add(name)
    return name


def asked_for() -> frozenset[str]:
    """The names of all blocks that the code asks for."""
    return frozenset(_asked_for)


def check_prefix(prefix: str) -> str:
    """The prefix itself, if table names may begin with it; else BadSetting."""
    if prefix and not _PREFIX.fullmatch(prefix):
        raise BadSetting(
            f"prefix={prefix!r} cannot begin a table name: up to 31 small letters, digits and underscores"
        )
    return prefix


def read_blocks(text: str, origin: str) -> dict[str, Block]:
    """The named blocks of one file. Raises BrokenLibrary where one has no purpose, no text or a name twice."""
    blocks: dict[str, Block] = {}
    name = ""
    purpose: list[str] = []
    lines: list[str] = []

    def close() -> None:
        if not name:
            return
        body = "\n".join(lines).strip()
        if not purpose or not body:
            raise BrokenLibrary(f"{origin}: block {name!r} needs a line of purpose and a statement")
        if body.endswith(";"):
            raise BrokenLibrary(
                f"{origin}: block {name!r} ends with a semicolon: one statement each, without"
            )
        if name in blocks:
            raise BrokenLibrary(f"{origin}: block {name!r} stands there twice")
        blocks[name] = Block(name, " ".join(purpose), body)

    for line in text.splitlines():
        if match := _NAME_LINE.match(line):
            close()
            name, purpose, lines = match[2] if match[1] == "name" else f"part {match[2]}", [], []
        elif line.lstrip().startswith("--"):
            if name and not lines:
                purpose.append(line.lstrip()[2:].strip())
        elif name and (line.strip() or lines):
            lines.append(line.rstrip())
        elif line.strip():
            raise BrokenLibrary(f"{origin}: text outside a block: {line.strip()!r}")
    close()
    return blocks


def join_blocks(
    engine: str, common: Mapping[str, Block], own: Mapping[str, Block], asked: Iterable[str]
) -> dict[str, Block]:
    """The blocks of an engine: the common ones with its own in their place. Raises BrokenLibrary."""
    joined = {**common, **own}
    mentioned = {said for each in joined.values() for said in _FRAGMENT.findall(each.text)}
    asked = {*asked, *(said for said in mentioned if said.startswith("part "))}
    if missing := sorted(asked - joined.keys()):
        raise BrokenLibrary(f"{engine}: no block for {', '.join(missing)}")
    if unused := sorted(joined.keys() - asked):
        raise BrokenLibrary(f"{engine}: nobody asks for {', '.join(unused)}")
    if same := sorted(name for name in own if name in common and own[name].text == common[name].text):
        raise BrokenLibrary(f"{engine}: says the same as common.sql in {', '.join(same)}")
    return joined


class Dialect(ABC):
    """An engine's way of saying things: resolves the blocks and spells statements for drivers."""

    engine: str
    now_in_a_script: str
    """The store's now in SQL that people run by themselves."""

    def __init__(self, prefix: str = "unstuck_"):
        self.prefix = check_prefix(prefix)
        self._spellings: dict[tuple[str, Style], tuple[str, tuple[str, ...]]] = {}
        self._blocks: dict[str, Block] | None = None

    @property
    def blocks(self) -> Mapping[str, Block]:
        """All blocks of this engine, as they stand in the files."""
        if self._blocks is None:
            # The rooms note what they ask for when they are imported.
            for room in ("unstuck.storage.sql.store", "unstuck.storage.migrating"):
                import_module(room)

            common = {**_read("sql", "common.sql"), **_read("sql", "event_log.sql")}
            scripts = "".join(self.script(name) for name in SCRIPTS)
            asked = asked_for() | {said for said in _FRAGMENT.findall(scripts) if said.startswith("part ")}
            self._blocks = join_blocks(self.engine, common, self.own_blocks(), asked)
        return self._blocks

    def own_blocks(self) -> Mapping[str, Block]:
        """The blocks that this engine says differently."""
        return _read(self.engine, "statements.sql")

    def script(self, name: str) -> str:
        """A script of this engine as it stands in its file, `name` being one of SCRIPTS."""
        return (resources.files("unstuck.storage") / self.engine / f"{name}.sql").read_text(encoding="utf-8")

    def spell(self, statement: Statement, style: Style) -> Iterator[Spelled]:
        """The statement for a driver: once, or once per row where the engine has no arrays."""
        return self.bind(statement, *self.spelling(statement.block, style))

    @abstractmethod
    def bind(self, statement: Statement, text: str, names: tuple[str, ...]) -> Iterator[Spelled]:
        """Pair a spelled text with the statement's values as this engine's drivers take them."""

    def spelling(self, name: str, style: Style) -> tuple[str, tuple[str, ...]]:
        """The resolved text of a block in a style, and the names of its parameters in order."""
        key = name, style
        if key not in self._spellings:
            if name not in self.blocks:
                raise BrokenLibrary(f"{self.engine}: no block {name!r}")
            text, names = _styled(self.resolve(self.blocks[name].text, name), style)
            self._spellings[key] = f"/* unstuck:{name} */ {text}", names
        return self._spellings[key]

    def resolve(self, text: str, origin: str = "text") -> str:
        """The text with every word in braces replaced. Raises BrokenLibrary for a word it does not know."""

        def replace(match: re.Match[str]) -> str:
            said = match[1]
            if said in TABLES or said in ON_REQUEST:
                return self.prefix + said
            if said.startswith("name "):
                return self.prefix + said.removeprefix("name ").strip()
            if said.startswith("state."):
                return f"'{State(said.removeprefix('state.')).value}'"
            if said.startswith("part "):
                if said not in self.blocks:
                    raise BrokenLibrary(f"{origin}: no block {said!r}")
                return self.resolve(self.blocks[said].text, said)
            if said == "default.step_us":
                return str(PRIORITY_STEP_US)
            word, _, rest = said.partition(" ")
            phrase = self.phrase(word, rest.strip())
            if phrase is None:
                raise BrokenLibrary(f"{origin}: no engine knows {{{said}}}")
            return phrase

        return _FRAGMENT.sub(replace, text)

    @abstractmethod
    def phrase(self, word: str, rest: str) -> str | None:
        """This engine's words for `{word rest}`, or None where there is no such word."""


def row_source(rest: str) -> tuple[str, list[tuple[str, str]]]:
    """The alias and the (name, type) pairs of `{rows v: id uuid, fence bigint}`."""
    alias, _, columns = rest.partition(":")
    pairs = [column.split(maxsplit=1) for column in columns.split(",")]
    return alias.strip(), [(name, kind) for name, kind in pairs]


def paired(rest: str) -> tuple[str, list[tuple[str, str]], str]:
    """The alias, the two (parameter, type) pairs and the second's name of `{pairs c: :names text, :lines bigint line}`."""
    alias, _, columns = rest.partition(":")
    (one, kind), (other, its_kind, name) = (column.split() for column in columns.split(","))
    return alias.strip(), [(one, kind), (other, its_kind)], name


def _styled(text: str, style: Style) -> tuple[str, tuple[str, ...]]:
    names = tuple(dict.fromkeys(_PARAMETER.findall(text)))
    if style is Style.PYFORMAT:
        text = _PARAMETER.sub(r"%(\1)s", text.replace("%", "%%"))
    elif style is Style.DOLLAR:
        places = {name: f"${place}" for place, name in enumerate(names, 1)}
        text = _PARAMETER.sub(lambda match: places[match[1]], text)
    return text, names


@cache
def _read(package: str, file: str) -> dict[str, Block]:
    source = resources.files("unstuck.storage") / package / file
    return read_blocks(source.read_text(encoding="utf-8"), f"{package}/{file}")
