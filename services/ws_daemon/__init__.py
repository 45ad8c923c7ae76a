"""Mark prices, funding and 24 h volume: stream -> Redis."""
