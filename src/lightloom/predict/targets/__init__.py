"""Labels and values of images."""
