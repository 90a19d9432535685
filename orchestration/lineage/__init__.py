"""The bridge from Dagster to lineage: what a run's event log holds becomes :class:`lineage.facts.RunFacts`.

What belongs here: what steps note for lineage, reading it back once the run has ended, finding ended runs, and who asks
for that when. What does not: making events from facts (:mod:`lineage.events`), storing or delivering them. Nothing here
may fail a run or make it wait, and nothing here speaks to a lineage server.
"""
