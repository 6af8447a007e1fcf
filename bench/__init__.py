"""What it costs: scenarios against the real stack, with tables for people and JSON for machines."""
