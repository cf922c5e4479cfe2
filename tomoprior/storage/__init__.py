"""Files: locks, atomic writes, tensors without pickle, JSON records, digests, arrays that are read when indexed."""
