"""Volumes larger than memory: computed slab by slab along y, on one machine or many, and resumed after a crash."""
