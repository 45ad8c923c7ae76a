"""One folder per process; each starts alone with ``python -m services.<name>`` and meets the others only in Redis."""
