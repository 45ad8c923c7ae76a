"""A stand-in of five other venues on one port, with the truth beside what they tell, and faults on demand."""
