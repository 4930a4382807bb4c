"""Services come under the migration's routes, and leave them."""
