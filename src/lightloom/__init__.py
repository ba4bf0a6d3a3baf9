"""lightloom: a Lightning-based modular research template for vision."""
