"""Loss functions and small objects on tensors, without networks."""
