"""Classes of nodes."""
