"""What docker-compose.yml says, for a machine without Docker."""

import re
import shlex
import subprocess
from pathlib import Path

import yaml


class Compose:
    """Commands of services, with host names and volumes as they are on this machine."""

    def __init__(self, path: Path, folder: Path):
        self.folder, self.root = folder, path.parent
        self.services = yaml.safe_load(path.read_text())["services"]
        self.commands = {name: shlex.split(service["command"]) for name, service in self.services.items() if "command" in service}
        for name in ("config", "l1", "data"):
            (folder / name).mkdir(exist_ok=True)

    def words(self, service: str) -> list[str]:
        """The words of a command. Every host of the network is this one, and every volume a folder."""
        hosts = "|".join(self.services)
        data = self.folder / ("l1" if service == "l1" else "data")
        return [
            re.sub(rf"^(http://)({hosts}):", r"\g<1>127.0.0.1:", word)
            .replace("0.0.0.0", "127.0.0.1").replace("/config", str(self.folder / "config")).replace("/data", str(data))
            for word in self.commands[service]
        ]

    def replace(self, service: str, flag: str, value: str):
        words = self.commands[service]
        words[words.index(flag) + 1] = value

    def check_pinned(self):
        """Every image has a version, or is built from a file that is here, on images and packages that have one; every mounted file is here."""
        for name, service in self.services.items():
            if "image" in service:
                check_image(name, service["image"])
            else:
                build = service["build"]
                check_dockerfile(self.root / build["context"] / build["dockerfile"])
            for volume in service.get("volumes", []):
                source = volume.split(":")[0]
                assert not source.startswith("./") or (self.root / source).exists(), f"{name}: {source} is missing"

    def check_scraped(self):
        """Prometheus asks services of this file, at ports that their commands name."""
        for job in yaml.safe_load((self.root / "docker/prometheus.yml").read_text())["scrape_configs"]:
            for target in (target for group in job["static_configs"] for target in group["targets"]):
                service, port = target.split(":")
                assert any(re.search(rf"(^|:){port}$", word) for word in self.commands[service]), f"{service} does not serve {target}"

    def check_flags(self, service: str, binary: Path):
        """The program knows each flag that it is given."""
        words = self.commands[service]
        subcommand = [words[0]] if service == "tributary" else []
        text = subprocess.run([binary, *subcommand, "--help"], capture_output=True, text=True, timeout=60)
        known = set(re.findall(r"--[a-z0-9][A-Za-z0-9.-]*", text.stdout + text.stderr))
        unknown = [word for word in words if word.startswith("--") and word not in known]
        assert not unknown, f"{service} does not know {unknown}"


def check_image(where, image: str):
    """A tag that names a version, or a digest; `latest` and no tag at all are whatever they are today."""
    version = image.partition("@")[2] or image.rpartition("/")[2].partition(":")[2]
    assert re.match(r"sha256:|v?\d", version), f"{where}: {image} is not pinned"


def check_dockerfile(path: Path):
    for line in path.read_text().splitlines():
        if line.startswith("FROM "):
            check_image(path.name, line.split()[1])
        for packages in re.findall(r"pip install (.*)", line):
            loose = [word for word in packages.split() if not word.startswith("-") and "==" not in word]
            assert not loose, f"{path.name}: {loose} are not pinned"
