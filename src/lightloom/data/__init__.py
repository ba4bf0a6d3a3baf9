"""Data sets and their LightningDataModules."""
