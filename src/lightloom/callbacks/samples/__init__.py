"""Draw and evaluate the samples of a generative model."""
