"""The shape of a batch that facts of data tell: a file for each kind, with a function `shape`."""
