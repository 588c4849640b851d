"""Benchmarks: ``python -m bench`` runs them, ``bench/README.md`` says what they mean."""
