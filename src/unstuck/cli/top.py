"""`unstuck top`: how the work goes just now, drawn anew every other second.

One question is asked of the store for each picture, and it is bounded: it costs the same with a thousand jobs as
with millions (`storage.sql.pulsing`). It rests at least ten times as long as the question took, so however slow the
store, the view takes no more than a tenth of one connection. Rates are what workers report with their renewals,
every fifth of a lease: exact, of all attempts, and a few seconds old.

A store that goes away is said in the picture, with the last one left standing; the view goes on when it is back.
Ctrl-C is the ordinary end. `--once` prints one picture as text, `--json` one document.
"""

from __future__ import annotations

import sys
import time

import click

from unstuck.cli.place import Place, pass_place
from unstuck.cli.refusing import FINE
from unstuck.cli.showing import print_json, say
from unstuck.cli.top_figures import Figures, document, figures_of, lines_of
from unstuck.model.errors import BadSetting, SchemaMismatch, StoreError
from unstuck.rules.durations import duration_us

INTERVAL_MIN = 0.2
DEPTH_MAX = 1_000_000
REST = 10.0
"""How many times as long as a question took nothing is asked."""


@click.command(name="top")
@click.option("--interval", default="2s", show_default=True, help="How long to wait between two pictures.")
@click.option("--depth", default=2_000, show_default=True, help="How far ready jobs of a queue are counted.")
@click.option("--once", is_flag=True, help="One picture as text, and the end.")
@click.option("--json", "as_json", is_flag=True, help="One JSON document, and the end.")
@pass_place
def top(place: Place, interval: str, depth: int, once: bool, as_json: bool) -> int:
    """Show rates, queues, latency, recoveries and workers, live."""
    seconds = duration_us(interval, "--interval") / 1_000_000
    if seconds < INTERVAL_MIN:
        raise BadSetting(f"--interval {interval}: no shorter than {INTERVAL_MIN:g} s")
    if not 1 <= depth <= DEPTH_MAX:
        raise BadSetting(f"--depth {depth}: between 1 and {DEPTH_MAX:,}")
    _ = place.store  # a store that is not there, or not migrated, is an error before anything is drawn
    if as_json or once:
        figures = _ask(place, depth)
        if as_json:
            print_json(document(figures))
        else:
            for line in lines_of(figures):
                say(line)
        return FINE
    try:
        _watch(place, seconds, depth)
    except KeyboardInterrupt:
        pass
    return FINE


def _ask(place: Place, depth: int) -> Figures:
    keeper = place.keeper()
    began = time.perf_counter()
    pulse = place.run(keeper.store.pulse(depth))
    return figures_of(pulse, keeper.url_shown, depth, time.perf_counter() - began)


def _watch(place: Place, interval: float, depth: int) -> None:
    from unstuck.cli.top_view import picture_for

    last: Figures | None = None
    gone_since: float | None = None
    with picture_for(sys.stdout) as picture:
        while True:
            began = time.monotonic()
            trouble = ""
            try:
                last = _ask(place, depth)
                gone_since = None
            except (StoreError, SchemaMismatch) as error:
                gone_since = began if gone_since is None else gone_since
                trouble = f"for {time.monotonic() - gone_since:.0f} s: {error}"
            picture.show(last, trouble)
            took = time.monotonic() - began
            time.sleep(max(interval - took, REST * took if not trouble else interval))
