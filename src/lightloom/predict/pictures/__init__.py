"""Pictures that come over a network. Needs no torch."""
