"""Volumes larger than memory: slab by slab along y, on one machine or many, gone on with after a crash."""
