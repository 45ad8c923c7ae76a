"""The file of open interest's past: what its writer and its readers must agree on."""
