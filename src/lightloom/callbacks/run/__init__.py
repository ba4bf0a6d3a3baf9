"""Keep a run going: checkpoints, preemption, NaN guard, console, randomness, EMA."""
