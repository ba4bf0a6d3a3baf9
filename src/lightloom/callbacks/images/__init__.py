"""Plot what a model does with images: confusions, mistakes, reconstructions."""
