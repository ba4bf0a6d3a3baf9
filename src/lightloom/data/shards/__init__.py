"""Samples in tar files, as WebDataset writes them, with an index by which any of them is read alone."""
