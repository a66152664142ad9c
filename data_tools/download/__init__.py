"""Command: download TUT Rare Sound Events 2017, the data of the paper (Sec. 4)."""
