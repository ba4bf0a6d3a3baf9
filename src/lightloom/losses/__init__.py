"""What is minimised: functions and small objects on tensors, without networks."""
