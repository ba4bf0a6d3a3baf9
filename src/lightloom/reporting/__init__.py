"""What a run tells a person who was not there: a report, a comparison of several, a model card."""
