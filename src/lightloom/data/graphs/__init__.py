"""Nodes of a graph, some of them labelled."""
