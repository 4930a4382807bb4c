"""What people write: migration.yaml and the edge's stack file."""
