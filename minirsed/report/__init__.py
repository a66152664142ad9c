"""A run on one page, `python -m minirsed.report`: media, elements → page, one HTML file complete in itself."""
