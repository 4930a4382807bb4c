"""Two real clusters on one machine, for trying, testing and measuring; docs/guides/lab.md says what that proves."""
