"""Mistakes in the exercise of notebook 10, each with words of the hint that it must get."""


def _names(recipes, *, events=True, backgrounds=True, quiet=True, nothing=False):
    found = {r.event for r in recipes if r.has_event or nothing} if events else set()
    return found | ({r.background for r in recipes if quiet or r.has_event} if backgrounds else set())


WRONG = {
    "10.leaks": [
        (lambda a, b: _names(a, backgrounds=False) & _names(b, backgrounds=False), "clips without an event have one"),
        (lambda a, b: _names(a, events=False) & _names(b, events=False), "A cry that is in both"),
        (lambda a, b: _names(a, quiet=False) & _names(b, quiet=False), "clips without an event have one"),
        (lambda a, b: _names(a) | _names(b), "Here nothing is shared"),
        (lambda a, b: _names(a, nothing=True) & _names(b, nothing=True), "no event's name to share"),
        (lambda a, b: sorted(_names(a) & _names(b)), "not a set"),
    ],
}
