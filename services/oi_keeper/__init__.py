"""Open interest of each symbol, kept in one file: each minute for 8 days, each five minutes for 400."""
