"""`python -m migration` is `bluegreen`."""

from migration.cli.main import main

main()
