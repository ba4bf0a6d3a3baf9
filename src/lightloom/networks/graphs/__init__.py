"""Networks over the nodes of a graph."""
