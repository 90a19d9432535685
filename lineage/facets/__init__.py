"""Facets of events, made with openlineage-python's classes: of jobs, of runs, of datasets, and our own.

What belongs here: one fact → one facet. What does not: which event carries it (:mod:`lineage.events`). These modules
import openlineage.client; whoever imports them pays for that.
"""
