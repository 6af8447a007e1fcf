"""What may go wrong, made to go wrong: in simulation, and on real servers."""
