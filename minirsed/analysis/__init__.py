"""What a detector makes of many mixtures, counted, drawn and judged."""
