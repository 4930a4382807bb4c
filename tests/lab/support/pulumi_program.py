"""Small Pulumi programs, run by the real engine in the lab's environment."""

from __future__ import annotations

import json
import re
import subprocess
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml


class Program:
    """One project with one stack in a folder of its own."""

    def __init__(self, folder: Path, environment: Mapping[str, str], text: str, **settings: Any) -> None:
        self.folder, self._environment = folder, dict(environment)
        folder.mkdir(parents=True, exist_ok=True)
        # The backend is shared by all tests of the lab, so is its list of stacks.
        self.name = f"{re.sub(r'[^a-z]', '', folder.name)}-{uuid.uuid4().hex[:8]}"
        project = {"name": self.name, "runtime": "python", **settings}
        self.stack_file = folder / settings.get("stackConfigDir", ".") / "Pulumi.dev.yaml"
        (folder / "Pulumi.yaml").write_text(yaml.safe_dump(project))
        self.write(text)
        assert self.pulumi("stack", "init", "dev").returncode == 0

    def write(self, text: str) -> None:
        (self.folder / "__main__.py").write_text(text)

    def configure(self, **settings: str) -> None:
        """As `pulumi config set` does, without starting it."""
        document = yaml.safe_load(self.stack_file.read_text()) if self.stack_file.exists() else {}
        document.setdefault("config", {}).update({f"{self.name}:{key}": value for key, value in settings.items()})
        self.stack_file.parent.mkdir(exist_ok=True)
        self.stack_file.write_text(yaml.safe_dump(document))

    def pulumi(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["pulumi", *arguments, "--non-interactive"],
            cwd=self.folder,
            env=self._environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=600,
        )

    def run(self, action: str, *arguments: str) -> dict[str, int]:
        """Counts of the summary by word: created, updated, replaced, deleted, unchanged."""
        flags = () if action == "preview" else ("--yes", "--skip-preview")
        done = self.pulumi(action, *flags, *arguments)
        assert done.returncode == 0, done.stdout
        summary = done.stdout.split("Resources:")[-1]
        words = re.findall(r"(\d+) (created|updated|replaced|deleted|unchanged|to \w+)", summary)
        return {word: int(count) for count, word in words}

    def fails(self, action: str, *arguments: str) -> str:
        flags = () if action == "preview" else ("--yes", "--skip-preview")
        done = self.pulumi(action, *flags, *arguments)
        assert done.returncode != 0, done.stdout
        return done.stdout

    def outputs(self) -> dict[str, Any]:
        done = self.pulumi("stack", "output", "--json", "--show-secrets")
        outputs: dict[str, Any] = json.loads(done.stdout)
        return outputs
