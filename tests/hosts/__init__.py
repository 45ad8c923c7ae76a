"""Three hosts of one pipeline, each a network namespace, and what becomes of the numbers when one is hurt."""
