"""Pictures of what a model does with images."""
