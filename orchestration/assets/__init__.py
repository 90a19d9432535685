"""Asset factories: raw assets from declarations, dbt layers from the manifest."""
