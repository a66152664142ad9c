"""Events in any sound, `python -m minirsed.detect`: results kept over many files, text formats, pictures."""
