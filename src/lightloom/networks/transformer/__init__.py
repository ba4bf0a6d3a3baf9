"""Transformers (Vaswani et al. 2017, Attention Is All You Need), written as their papers have them."""
