"""Pictures and curves of what a detector finds."""
