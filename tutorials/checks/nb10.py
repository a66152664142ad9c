"""Checks of the exercise in 10_what_goes_wrong.md."""

import numpy as np

from data_tools.recipes import draw_recipes
from data_tools.soundbank import SoundBank
from tutorials.checks import exercise, expect


@exercise("10.leaks")
def leaks(answer):
    """`answer(train_recipes, dev_recipes)` on subsets that are apart, and with recipes smuggled in."""
    bank = SoundBank.builtin()
    train, dev = (draw_recipes(bank, "babycry", subset, 40, 0, duration_s=10.0) for subset in ("train", "dev"))
    event = next(recipe for recipe in dev if recipe.has_event)
    quiet = next(recipe for recipe in dev if not recipe.has_event and recipe.background != event.background)
    for smuggled, truth in (
        ([], set()),
        ([quiet], {quiet.background}),
        ([event], {event.event, event.background}),
        ([event, quiet], {event.event, event.background, quiet.background}),
    ):
        got = answer([*train, *smuggled], list(dev))
        expect(got is not None, "It returns None: does it end with `return`?")
        shape = np.shape(got)
        expect(
            isinstance(got, set | frozenset), f"It returns {type(got).__name__} and returns shape {shape}; not a set."
        )
        expect(None not in got and "" not in got, "A recipe without an event has no event's name to share.")
        expect(truth or not got, f"Here nothing is shared, and yet it finds {sorted(map(str, got))[:2]}.")
        missing = truth - got
        expect(not any(name == event.event for name in missing), "A cry that is in both is missing.")
        expect(not missing, "A background that is in both is missing: clips without an event have one, too.")
        expect(got == truth, f"It finds {sorted(got - truth)[:2]}, which only one of the two has.")
