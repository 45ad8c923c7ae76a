"""Speed beside the peers: ratios measured in one run, on one machine, against one stand-in exchange."""
