"""By which cluster's gateway users come in."""
