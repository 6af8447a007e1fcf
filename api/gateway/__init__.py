"""What stands before every route: who is in front, how often, and from which pages."""
