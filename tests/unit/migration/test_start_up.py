"""`bluegreen --help` answers at once: nothing that only a running command needs is imported for it."""

from __future__ import annotations

import subprocess
import sys

HEAVY = ("asyncio", "ssl", "aiohttp", "boto3", "yaml", "ruamel", "routing", "pulumi", "orjson")


def test_help_imports_nothing_that_only_running_commands_need() -> None:
    code = (
        "import sys\n"
        "sys.argv = ['bluegreen', '--help']\n"
        "from migration.cli.main import main\n"
        "try:\n"
        "    main()\n"
        "finally:\n"
        f"    print('imported:', [name for name in {HEAVY} if name in sys.modules])\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "preflight" in done.stdout
    assert done.stdout.splitlines()[-1] == "imported: []"
