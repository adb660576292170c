"""A project on disk: its repotune.toml, where its repositories and its workspace lie."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from repotune.core.config import Config, load_config
from repotune.corpus.addresses import is_url
from repotune.corpus.opt_out import OPT_OUT_NAME, merged, read_opt_out


@dataclass(frozen=True)
class Project:
    """A configuration with its paths resolved. `repositories` are absolute paths or URLs."""

    config: Config
    path: Path
    workspace: Path
    repositories: tuple[str, ...]

    @property
    def name(self) -> str:
        return self.config.project.name

    @property
    def opt_out(self) -> Path:
        """The list of what must not be learnt from, beside the configuration; it need not be there."""
        return self.path.absolute().with_name(OPT_OUT_NAME)

    @property
    def base(self) -> str | None:
        """The model to go on from: a folder, made absolute, or a name on the hub."""
        source = self.config.model.base
        if source is None:
            return None
        folder = self.path.absolute().parent / Path(source).expanduser()
        return str(folder) if folder.is_dir() else source

    @property
    def seed(self) -> int:
        return self.config.project.seed


def open_project(config_path: Path) -> Project:
    """Reads a repotune.toml and the opt-out list beside it. Relative paths in it count from its own folder."""
    config = _with_opt_out(load_config(config_path), config_path.with_name(OPT_OUT_NAME))
    root = config_path.absolute().parent
    return Project(
        config=config,
        path=config_path,
        workspace=root / Path(config.project.workspace).expanduser(),
        repositories=tuple(locate(repository, root) for repository in config.project.repositories),
    )


def _with_opt_out(config: Config, path: Path) -> Config:
    """`config` with what the list at `path` opts out as well."""
    opt_out = merged(config.corpus.opt_out, read_opt_out(path))
    return config.model_copy(update={"corpus": config.corpus.model_copy(update={"opt_out": opt_out})})


def locate(repository: str, root: Path) -> str:
    """A URL (https://…, git@host:path) as it is; a path made absolute, counted from `root`."""
    if is_url(repository):
        return repository
    return str((root / Path(repository).expanduser()).resolve())
