"""Named faults through the real processes, measured; a long random run; proof that no second is missed."""
