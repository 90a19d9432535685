"""Measured comparisons: what the platform costs beside the bare tools that do the same work.

``python -m benchmarks`` (``make bench``) prints a table and writes every single sample to ``benchmarks/results/``.
One module per measure; each makes platforms of its own in a temporary folder and removes them, so ``data/`` is never
touched. What belongs here: measuring. What does not: judging whether results are right, which is what tests are for;
a measure only checks that both sides did the same work.
"""
