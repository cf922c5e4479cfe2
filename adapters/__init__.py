"""Adapters: one folder per library, reached by the core through entry points."""
