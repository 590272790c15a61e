"""Orthogonal convolutions side by side: ours, published ones, and the plain convolution."""
