"""What a generative model makes, shown and measured."""
