"""Kubernetes objects as data: kinds, fields, classes, listings. Nothing here speaks to anybody."""
