"""Run a method on a tilt series: in memory or slab by slab, with seed, threads, estimate and record."""
