"""Who may ask: the people and the programs of a tenant."""
