"""Folder of configs: groups, their options, and the keys of each."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf

from ragloom.errors import ConfigError, nearest

_GENERAL = ("folder", "openai_compatible", "fastembed", "cross_encoder")
"""Options that are meant most often where several have a key."""


def config_dir() -> Path:
    """Find `conf/` of the checkout, or else the copy in the wheel."""
    package = Path(__file__).resolve().parents[1]
    checkout = package.parent.parent
    if (checkout / "pyproject.toml").is_file() and (checkout / "conf" / "config.yaml").is_file():
        return checkout / "conf"
    return package / "conf"


@dataclass(frozen=True)
class ConfFolder:
    """A folder with `config.yaml` and a folder for each group.

    Attributes:
        path: the folder; its options come before those of the same name in `extra`.
        extra: a further folder with options (`--config-dir`).
    """

    path: Path
    extra: Path | None = None

    def groups(self) -> list[str]:
        """List the groups, Hydra's own aside."""
        return sorted({item.name for root in self._roots() for item in root.iterdir() if _is_group(item)})

    def primary(self) -> Any:
        """Load `config.yaml`."""
        return OmegaConf.load(self.path / "config.yaml")

    def default_groups(self) -> list[str]:
        """List the groups of which `config.yaml` chooses an option."""
        entries = [entry for entry in self.primary().defaults if not isinstance(entry, str)]
        return [name for entry in entries for name in entry if not name.startswith("override ")]

    def top_level(self) -> dict[str, Any]:
        """Return the keys that belong to no group, with their defaults."""
        tree = OmegaConf.to_container(self.primary(), resolve=False)
        assert isinstance(tree, dict)
        return {str(key): value for key, value in tree.items() if key not in ("defaults", "hydra")}

    def options(self, group: str) -> list[str]:
        """List the options of a group."""
        return sorted({file.stem for root in self._roots() for file in (root / group).glob("*.yaml")})

    def nearest_option(self, group: str, wrong: str) -> str:
        """Suggest the nearest option, and the flag that adds own ones."""
        own = "" if self.extra else " (your own options: add --config-dir FOLDER)"
        return f"{nearest(wrong, self.options(group))}{own}"

    def get_group_options(self, group_name: str, results_filter: object = None) -> list[str]:
        """List the options of a group that match a `glob(...)`."""
        return self.options(group_name)

    def load(self, group: str, option: str) -> Any:
        """Load an option's yaml as it is written; empty without one."""
        file = self._file(group, option)
        return OmegaConf.create() if file is None else OmegaConf.load(file)

    def comment(self, group: str, option: str, key: str = "") -> str:
        """Return the comment on an option or key; empty without one."""
        file = self._file(group, option)
        lines = [] if file is None else file.read_text(encoding="utf-8").splitlines()
        pattern = re.compile(rf"{re.escape(key)}: .* # (.*)" if key else r"# (?!@package)(.*)")
        return next((match[1].rstrip(".") for line in lines if (match := pattern.fullmatch(line))), "")

    def keys(self, group: str, option: str) -> set[str]:
        """Return the keys of an option, inherited ones included."""
        tree = self.load(group, option)
        names = {str(key) for key in tree} - {"defaults"}
        for entry in tree.get("defaults") or []:
            for base, parent in [(group, entry)] if isinstance(entry, str) else entry.items():
                if parent and parent != "_self_" and not str(base).startswith("override "):
                    names |= self.keys(str(base).strip("/").partition("@")[0], parent)
        return names

    def options_with(self, group: str, key: str) -> list[str]:
        """List the options that have a key, the most general one first."""
        names = sorted(self.options(group), key=lambda name: (name not in _GENERAL, name))
        return [name for name in names if key in self.keys(group, name)]

    def _file(self, group: str, option: str) -> Path | None:
        files = [root / group / f"{option}.yaml" for root in self._roots()]
        return next((file for file in files if file.is_file()), None)

    def _roots(self) -> list[Path]:
        return [self.path] if self.extra is None else [self.path, self.extra]


def conf_folder(extra_dir: str | None = None) -> ConfFolder:
    """Return Ragloom's own `conf/`, with a further folder of options.

    Raises:
        ConfigError: `extra_dir` is no folder.
    """
    if extra_dir is not None and not Path(extra_dir).is_dir():
        raise ConfigError(f"--config-dir={extra_dir} must be a folder; it is not there")
    return ConfFolder(config_dir(), None if extra_dir is None else Path(extra_dir).resolve())


def _is_group(item: Path) -> bool:
    return item.is_dir() and item.name != "hydra" and not item.name.startswith((".", "_"))
