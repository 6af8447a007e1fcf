"""Who asks: routes of the people and the programs of a tenant, and how each is recognised."""
