"""What a laptop runs against when the exchange and the backend cannot be had: stand-ins and their supervisor."""
