"""The lineage page: one HTML file that holds the graph and everything that draws it, and asks no network for anything.

What belongs here: the graph as plain data (:mod:`lineage.page.model`), the graph library's asset
(:mod:`lineage.page.library`), and the file made of both (:mod:`lineage.page.build`). ``assets/`` holds our own HTML,
CSS and JavaScript. What does not: serving it (``lakehouse.cli.lineage_open``).
"""
