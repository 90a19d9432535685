"""The processes of ``lakehouse up``: which there are, and a supervisor that starts, restarts and ends them."""
