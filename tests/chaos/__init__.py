"""The jack hammer: real load on a real stack under real faults, and then everything must add up."""
