"""Episodes of an agent in its environment."""
