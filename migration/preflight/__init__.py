"""What would break on green, found before anything is moved."""
