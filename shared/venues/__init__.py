"""The exchanges: a folder for each, with all that is its own. Where a second one goes, and what it must bring."""
