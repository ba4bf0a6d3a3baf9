"""Pictures of short texts."""
