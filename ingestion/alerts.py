"""The kinds of alerts that ingestion raises; the rows themselves are :mod:`lakehouse.alerts`'s business."""

FILE_QUARANTINED = "file_quarantined"
FILE_MISSING = "file_missing"
DROP_ZONE_EMPTY = "drop_zone_empty"
QUARANTINE_THRESHOLD = "quarantine_threshold"
ROWS_REJECTED = "rows_rejected"
