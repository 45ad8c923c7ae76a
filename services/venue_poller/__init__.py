"""Open interest of other venues, one convention for all."""
