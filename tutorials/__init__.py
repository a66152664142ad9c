"""Thirteen notebooks that teach what minirsed does; `python -m tutorials.build` executes them into web pages."""
