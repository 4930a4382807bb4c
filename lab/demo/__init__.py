"""`make demo`: a whole upgrade under load, on the shop or anyone's manifests; and what `make lab` puts up."""
