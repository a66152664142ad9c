"""What the paper is compared with (Sec. 1, Table 2)."""
