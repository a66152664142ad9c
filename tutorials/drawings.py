"""Drawings of notebooks 3 and 4: a recurrent layer unrolled, and its cell, with the numbers of a real one on its wires.

What they show comes from the caller's arrays, so they say what the code computes.
"""

import numpy as np

INK, PALE = "0.15", "0.82"
WIRES = {  # name: points on its way, forward
    "h'": [(-0.3, 5), (0.7, 5)],
    "h' → z h'": [(0.7, 5), (2.2, 5)],
    "z h'": [(2.2, 5), (7, 5)],
    "h": [(7, 5), (9.2, 5)],
    "h' → gates": [(0.7, 5), (0.7, 0.8), (4.6, 0.8)],
    "h' → z": [(2.4, 0.8), (2.4, 1.8)],
    "h' → r": [(4.6, 0.8), (4.6, 1.8)],
    "h' → q": [(0.7, 3.2), (4.4, 3.2)],
    "x": [(-0.3, 0), (6.8, 0)],
    "x → z": [(2.0, 0), (2.0, 1.8)],
    "x → r": [(4.2, 0), (4.2, 1.8)],
    "x → c": [(6.8, 0), (6.8, 1.8)],
    "z": [(2.2, 2.0), (2.2, 5)],
    "1 - z": [(2.2, 4.1), (7, 4.1)],
    "r": [(4.4, 2.0), (4.4, 3.2)],
    "q": [(4.4, 3.2), (5.6, 3.2), (5.6, 0.8), (7.2, 0.8), (7.2, 1.8)],
    "c": [(7, 2.0), (7, 4.1)],
    "(1 - z) c": [(7, 4.1), (7, 5)],
}
BOXES = {"z": ((2.2, 1.9), "σ"), "r": ((4.4, 1.9), "σ"), "c": ((7, 1.9), "tanh")}
NODES = {"z h'": ((2.2, 5), "×"), "q": ((4.4, 3.2), "×"), "(1 - z) c": ((7, 4.1), "×"), "h": ((7, 5), "+")}
STEPS = {  # the part of the cell that each step adds
    "1. update gate": ("h'", "h' → gates", "h' → z", "x", "x → z", "z"),
    "2. reset gate": ("h' → r", "x → r", "r"),
    "3. candidate": ("h' → q", "q", "x → c", "c"),
    "4. new state": ("h' → z h'", "z h'", "1 - z", "(1 - z) c", "h"),
}


def wire(axes, name, color=INK, width=1.4, backwards=False, arrow=0.6):
    """One wire of the cell, over a white edge that lifts it above those it crosses; its arrow at that share of it."""
    points = WIRES[name][::-1] if backwards else WIRES[name]
    x, y = np.transpose(points)
    axes.plot(x, y, color="w", lw=width + 4, solid_capstyle="butt", zorder=1)
    axes.plot(x, y, color=color, lw=width, zorder=2, solid_joinstyle="round")
    if arrow:
        (x0, y0), (x1, y1) = points[-2:]
        place, angle = (x0 + arrow * (x1 - x0), y0 + arrow * (y1 - y0)), np.degrees(np.arctan2(y1 - y0, x1 - x0))
        axes.plot(*place, marker=(3, 0, angle - 90), ms=6 + 1.4 * width, color=color, zorder=2)


def frame_of_the_cell(axes, active=None):
    """Boxes and nodes of the cell; pale where their name is not among the `active`."""
    for places, style in ((BOXES, "round,pad=0.35"), (NODES, "circle,pad=0.2")):
        for name, (place, text) in places.items():
            color = INK if active is None or name in active else PALE
            box = {"boxstyle": style, "fc": "w", "ec": color, "lw": 1.3}
            axes.text(*place, text, ha="center", va="center", color=color, bbox=box, zorder=4)
    axes.set(xlim=(-1.1, 9.9), ylim=(-0.6, 5.8))
    axes.axis("off")


def label(axes, place, text, color):
    """A number on a wire, on a white ground."""
    box = {"boxstyle": "round,pad=0.15", "fc": "w", "ec": "none"}
    axes.text(*place, text, ha="center", va="center", color=color, fontsize=8, bbox=box, zorder=5)


LABELS = {  # where the number of a wire stands
    "h'": (-0.1, 5), "z h'": (4.4, 5), "h": (9.0, 5), "x": (-0.1, 0), "z": (2.2, 2.9), "1 - z": (4.4, 4.1),
    "r": (4.4, 2.62), "q": (5.6, 2.0), "c": (7, 3.2), "(1 - z) c": (7.05, 4.55),
}  # fmt: skip


def cell_in_four_steps(figure, values, colors):
    """The cell of a GRU, built up in four panels, with the numbers of one frame and one unit.

    Parameters
    ----------
    figure : matplotlib.figure.Figure
    values : dict of str
        What to write on the wires of `LABELS`, by their names.
    colors : list of 4
        Of the part that each step adds.
    """
    seen = []
    for axes, (title, names), color in zip(figure.subplots(2, 2).flat, STEPS.items(), colors, strict=True):
        old, seen = seen, [*seen, *names]
        for name in WIRES:
            wire(axes, name, color if name in names else INK if name in old else PALE)
        frame_of_the_cell(axes, seen)
        for name in (each for each in seen if each in LABELS):
            label(axes, LABELS[name], values[name], color if name in names else INK)
        axes.set_title(title, color=color, loc="left")


def gradient_wires(axes, norms, color, widest=14):
    """The cell with the gradient that runs back over each wire: width and number are its norm.

    Parameters
    ----------
    axes : matplotlib.axes.Axes
    norms : dict of float
        Norm of the gradient on the way back over wires of `WIRES`, by name; others are drawn pale.
    color : str
    widest : float
        Width in points of the largest norm.
    """
    largest = max(norms.values())
    for name in WIRES:
        if name not in norms:
            wire(axes, name, PALE, arrow=None)
    for name, norm in sorted(norms.items(), key=lambda item: -item[1]):
        arrow = {"h'": 0.55, "(1 - z) c": 0.6}.get(name, 0.85) if norm > 0.02 * largest else None
        wire(axes, name, color, max(0.5, widest * norm / largest), backwards=True, arrow=arrow)
    frame_of_the_cell(axes)
    places = LABELS | {"h' → z h'": (1.5, 5), "h' → q": (1.45, 3.2), "h' → z": (2.4, 1.4), "h' → r": (4.6, 1.4)}
    places["(1 - z) c"] = (7.45, 4.55)  # beside the wire, which is too short for a number and an arrow
    for name, norm in norms.items():
        label(axes, places[name], f"{norm:.2f}", color)


def unrolled(axes, inputs, states, frames, color):
    """On the left the layer with its loop, on the right the same layer once for each of some frames.

    Parameters
    ----------
    axes : matplotlib.axes.Axes
    inputs, states : list of str
        What to write at each frame's input and state; `states` has one more in front, the state before.
    frames : list of int
    color : str
        Of the state, which is what is handed on.
    """

    def layer(x):
        box = {"boxstyle": "round,pad=0.5", "fc": "w", "ec": INK, "lw": 1.3}
        axes.text(x, 1, "W, U, b", ha="center", va="center", bbox=box, zorder=3)

    def arrow(start, end, color=INK, **style):
        axes.annotate("", end, start, arrowprops={"arrowstyle": "-|>", "lw": 1.5, "color": color, **style}, zorder=1)

    layer(0)
    arrow((0, -0.1), (0, 0.7))
    arrow((0, 1.3), (0, 2.1))
    axes.plot([0, 1.15, 1.15], [1.6, 1.6, 1], color=color, lw=1.5, zorder=1)
    arrow((1.15, 1), (0.6, 1), color, shrinkA=0, shrinkB=0)
    axes.text(0, -0.3, "$x_t$", ha="center", va="center")
    axes.text(0, 2.3, "$h_t$", ha="center", va="center", color=color)
    axes.text(1.75, 1.3, "$h_{t-1}$", ha="center", va="center", color=color)
    axes.text(2.9, 1, "=", ha="center", va="center", fontsize=20)
    for i, (t, x) in enumerate(zip(frames, inputs, strict=True)):
        place = 5 + 2.7 * i
        layer(place)
        arrow((place - 2.0 if i else place - 1.3, 1), (place - 0.65, 1), color)
        arrow((place, -0.1), (place, 0.7))
        arrow((place, 1.3), (place, 2.1))
        axes.text(place, -0.3, f"$x_{{{t}}}$ = {x}", ha="center", va="center", fontsize=9)
        axes.text(place, 2.3, f"$h_{{{t}}}$ = {states[i + 1]}", ha="center", va="center", color=color, fontsize=9)
        axes.text(place - 1.35, 1.25, states[i], ha="center", va="center", color=color, fontsize=9)
    arrow((place + 0.65, 1), (place + 1.3, 1), color)
    axes.set(xlim=(-0.9, place + 1.6), ylim=(-0.7, 2.7))
    axes.axis("off")
