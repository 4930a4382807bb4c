"""What a migration keeps: journal, lock, pause, verdicts on disk; records in the clusters."""
