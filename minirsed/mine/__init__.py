"""Learn from a detector's mistakes, `python -m minirsed.mine`: findings → clips, a page → sound folder."""
