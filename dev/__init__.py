"""What a laptop runs against when the exchange and the operator's backend cannot be had: stand-ins and their supervisor."""
