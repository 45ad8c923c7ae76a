"""What two services must agree on; nothing that a single service decides."""
