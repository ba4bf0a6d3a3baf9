"""What is shown of models of graphs."""
