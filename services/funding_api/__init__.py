"""Marks, funding and open interest over HTTP, for the scripts of this host."""
