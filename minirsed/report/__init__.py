"""A run on one page, `python -m minirsed.report`: plots, minirsed.pages → page, one HTML file complete in itself."""
