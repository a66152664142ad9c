"""A simple model for detection of rare sound events, from scratch in NumPy and Numba.

    features → dataset → gru → multires → attention → losses → detector → adam → training → decode → scoring

Each module is one idea of the paper, named after it. Importing this package loads nothing heavy.
"""

__version__ = "0.1.0"
