"""The lake behind one interface: a local directory or an S3 bucket.

What belongs here: listing, reading and writing objects, and turning a store's failures into errors with a remedy.
What does not: what the objects mean (that is :mod:`ingestion`), and SQL (DuckDB reads :meth:`Lake.uri` itself).
"""

from __future__ import annotations

from lakehouse.storage.lake import ChangedError, Lake, LakeObject, ObjectKind, open_lake

__all__ = ["ChangedError", "Lake", "LakeObject", "ObjectKind", "open_lake"]
