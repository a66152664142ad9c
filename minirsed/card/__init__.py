"""The model card of a run: what its detector learnt from, how good it is as far as measured, what it was not tried on.

`minirsed.card.files` is the door: `write(folder)` puts `card.md` into a run folder, from the files that are there.
"""
