"""A simple model for detection of rare sound events, from scratch in NumPy and Numba.

    features → dataset → gru → multires → attention → losses → model → adam → training → detector → decode → scoring

Each module is one idea of the paper, named after it; a command of several files is a folder. Importing this package
loads nothing heavy.
"""

__version__ = "0.1.0"
