"""From sounds to mixtures: the sources, the recipes and the audio of rare-event clips (paper, Sec. 4).

    builtin ─┐
    tut2017 ─┼→ soundbank → recipes → mixing → (samples,) at 44.1 kHz
    folder  ─┘

Knows nothing of models: nothing in here imports `minirsed`.
"""
