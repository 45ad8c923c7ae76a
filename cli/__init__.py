"""`oi`, the operator's command: reads what the services wrote to Redis, changes nothing."""
