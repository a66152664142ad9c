"""A detector on sound of any length, from files or as it arrives."""

from minirsed.recordings.several import detect_file

__all__ = ["detect_file"]
