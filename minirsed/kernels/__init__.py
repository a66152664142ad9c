"""Numba loops only: no validation, no allocation policy, no input or output.

Each has a NumPy twin beside its caller, and a test that holds the two together.
"""
