"""`python -m migration` is `bluegreen`."""

from migration.cli import main

main()
