"""Libraries that need a wrapper before they can be used."""
