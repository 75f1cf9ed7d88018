"""A loaded SavedModel that writes tunes, and tells how probable a tune is."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Iterable, Iterator

import numpy as np

from zoo import charts
from zoo.charts import Event, Tune
from zoo.errors import ZooError, note
from zoo.events import BARS, METER, Vocabulary, on_grid
from zoo.serving import Model

LONGEST = 1_024  # events that are written at most, where nothing says how many
PIECE = 8  # events that `stream` draws at a time
TRIES = 20  # to draw a length that the prompt leaves room in
DEFAULTS = dict(length=256, temperature=0.9, seed=0)
PARTS = ("chord", "duration")


class TuneGenerator(Model):
    """Chords and durations so far in, more of them out; or the probability of each."""

    def generate(
        self, prompt="", length=None, bars=None, temperature=1.0, top_k=0, top_p=1.0, seed=None, meter=None
    ) -> Tune:
        """The prompt as a tune, and how it goes on.

        Args:
            prompt: "Dm7:4 G7:4" (`zoo.charts.parse_prompt`), a `Tune`, or a list of `Event`; "" for nothing.
            length: events to draw, at most, besides the prompt's; None: until the tune is over.
            bars: of the whole tune, which then has just so many, full; None: as the model likes.
            temperature, top_k, top_p: of chords and of durations; as of `zoo.decoding.choose`.
            seed: a whole number; the same one gives the same tune. None: another one each time.
            meter: such as (3, 4); None: that of the prompt if it is a `Tune`; or 4/4, or the model's commonest.

        Raises:
            ZooError: an option is out of range, the prompt is none, or it is longer than the tune is to be.
        """
        session = self.session(prompt, bars, meter, seed)
        events = [*session.events, *session.stream(length, temperature, top_k, top_p, seed)]
        return Tune("", events, session.meter)

    def stream(
        self, prompt="", length=None, bars=None, temperature=1.0, top_k=0, top_p=1.0, seed=None, meter=None
    ) -> Iterator[Event]:
        """The events after the prompt that `generate` gives, as they are drawn."""
        return self.session(prompt, bars, meter, seed).stream(length, temperature, top_k, top_p, seed)

    def score(self, tune, meter=None) -> np.ndarray:
        """The log-probabilities, in nats, of each event's chord, and of its duration given the chord: float32
        `[events, 2]`. A rare chord is taken for a plainer one, and a rare duration for several events."""
        tune = self._tune(tune, meter)
        found = self.read_rows([self.vocabulary.rows(tune)])[0]
        return np.stack([found[part] for part in PARTS], 1)

    def session(self, prompt="", bars=None, meter=None, seed=None) -> TuneSession:
        """A tune to go on with."""
        return TuneSession(self, self._tune(prompt, meter), bars, seed)

    def __call__(self, inputs, **options) -> list[dict] | dict:
        """`{"chords", "beats"}` for a prompt, or for each of a list; options as of `generate`."""
        if isinstance(inputs, (str, Tune)):
            tune = self.generate(inputs, **{**DEFAULTS, **options})
            chords = [event.chord.symbol for event in tune.events]
            return {"chords": chords, "beats": [float(event.beats) for event in tune.events]}
        return [self(prompt, **options) for prompt in inputs]

    @functools.cached_property
    def vocabulary(self) -> Vocabulary:
        return Vocabulary.from_assets(self.card)

    def read_rows(self, rows: list[np.ndarray]) -> list[dict[str, np.ndarray]]:
        """What the signature `read` tells of each tune's rows after the first."""
        import tensorflow as tf

        longest = max(1, max(map(len, rows)) - 1)  # a loop over no steps has no last one
        after = np.full([len(rows), longest, rows[0].shape[1]], -1, np.int32)
        for i, tune in enumerate(rows):
            after[i, : len(tune) - 1] = tune[1:]
        from zoo.generation import Session

        session = Session(self, len(rows))
        session.last = tf.constant(np.stack([tune[0] for tune in rows]), tf.int32)
        found = session.call("read", rows=tf.constant(after))
        steps = found.pop("steps")
        return [{name: value[i, : steps[i]] for name, value in found.items()} for i in range(len(rows))]

    def _tune(self, prompt, meter) -> Tune:
        known = self.vocabulary.meters
        if meter is not None:
            meter = charts.meter_of(meter)
        if isinstance(prompt, Tune):
            tune = prompt if meter is None else dataclasses.replace(prompt, meter=meter)
        else:
            meter = meter or (charts.METER if charts.METER in known else known[0])
            if isinstance(prompt, (str, bytes)):
                text = prompt.decode("utf-8", "replace") if isinstance(prompt, bytes) else prompt
                prompt = charts.parse_prompt(text, meter)
            if not isinstance(prompt, Iterable) or not all(isinstance(event, Event) for event in prompt):
                raise ZooError(f"prompt: expected text such as 'Dm7:4 G7:4', a Tune or Events; got {prompt!r:.60}")
            tune = Tune("", list(prompt), meter)
        if tune.meter not in known:
            names = ", ".join(f"{beats}/{unit}" for beats, unit in known)
            raise ZooError(f"meter {tune.meter[0]}/{tune.meter[1]}: this model knows {names}")
        plainer = self.vocabulary.plainer(tune)
        if plainer:
            note(", ".join(f"{symbol} is read as {read}" for symbol, read in plainer.items()))
        return tune


class TuneSession:
    """A tune that a model goes on with (`TuneGenerator.session`).

    Attributes:
        events: those read and written so far. meter: of the tune. ended: whether it is over.
    """

    def __init__(self, model: TuneGenerator, tune: Tune, bars, seed):
        import tensorflow as tf

        from zoo.generation import Session, draw_options

        if bars is not None and (type(bars) is not int or not 1 <= bars <= 4096):
            raise ZooError(f"bars={bars!r}: expected a whole number from 1 to 4096")
        if bars is not None and tune.bars > bars:
            raise ZooError(f"the prompt has {float(tune.bars):g} bars; expected at most bars={bars}")
        if seed is not None:
            draw_options(0, 1.0, 0, 1.0, seed)  # checks it
        self.model, self.meter, self.events, self.ended = model, tune.meter, list(tune.events), False
        self._session = Session(model)
        begin, seed = model.signature("begin"), draw_options(0, 1.0, 0, 1.0, seed)["seed"]
        for attempt in range(TRIES):
            given = dict(bars=tf.constant([bars or 0]), meter=tf.constant([tune.meter]), seed=seed + attempt)
            last = begin(**given)["last"]
            total = int(last[0, BARS])
            if total == 0 or bars or total > tune.bars:
                break
        else:
            total = int(-(-tune.bars // 1)) + 4
        boundary = model.vocabulary.boundary(int(last[0, METER]), total)
        self._session.last = tf.constant([boundary])
        rows = model.vocabulary.rows(tune, total)[1:]
        if len(rows):
            self._session.call("read", rows=tf.constant(rows[None]))
        self.ended = bool(total) and tune.beats >= total * tune.bar_beats
        # A prompt that ends off the grid: what comes next begins there, and ends on the grid.
        self._off = sum(event.beats for event in on_grid(tune)) - tune.beats

    def stream(self, length=None, temperature=1.0, top_k=0, top_p=1.0, seed=None) -> Iterator[Event]:
        """Events, until the tune is over or `length` are drawn; options as of `TuneGenerator.generate`."""
        from zoo.generation import draw_options

        left = LONGEST if length is None else length
        options = draw_options(left, temperature, top_k, top_p, seed)

        def events():
            nonlocal left
            while left > 0 and not self.ended:
                found = self._session.draw(min(PIECE, left), options)
                left -= PIECE
                count, self.ended = int(found["count"][0]), bool(found["ended"][0])
                fresh = [
                    Event(charts.chords.parse(symbol.decode()), charts.beats_of(float(beats)))
                    for symbol, beats in zip(found["chords"][0][:count], found["beats"][0][:count], strict=True)
                ]
                if self._off > 0 and not fresh:  # too little is left of the tune for another chord
                    fresh.append(Event(self.events[-1].chord, 0))
                if fresh:
                    fresh[0].beats += self._off
                    self._off = 0
                self.events += fresh  # all of them, whether they are taken or not: the state has gone on
                yield from fresh

        return events()
