"""Which session templates there are: those shipped with the program, and the user's own. Everything here blocks."""

import importlib.resources
import os
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

from jackcapture.control.templates.reading import ReadTemplate, as_text, read_template
from jackcapture.errors import InvalidValueError, NotFoundError
from jackcapture.model.nearest import did_you_mean
from jackcapture.model.sessions import parse_session_name
from jackcapture.settings import config_directory

SUFFIX = ".toml"


class Origin(StrEnum):
    """Where a template is from."""

    SHIPPED = "shipped"
    USER = "user"
    FILE = "file"  # named by its path


@dataclass(frozen=True, slots=True)
class TemplateFile:
    """A template by its name; `replaces_shipped`: the user's own, of the name of a shipped one."""

    name: str
    path: str
    origin: Origin
    replaces_shipped: bool = False

    def read(self) -> ReadTemplate:
        """Read and check it; raises as `read_template`."""
        try:
            parse_session_name(self.name)  # which a session has, unless it is given another
        except InvalidValueError as error:
            raise InvalidValueError(
                f"{as_text(self.path)}: rename it: {error.message}", path=as_text(self.path)
            ) from None
        return read_template(self.path, self.name)


def user_folder() -> str:
    """Give the folder of the user's own templates, which need not be there."""
    return os.path.join(config_directory(), "session_templates")


def all_templates() -> list[TemplateFile]:
    """Give all that have a name, in order of their names."""
    with importlib.resources.as_file(importlib.resources.files("jackcapture._session_templates")) as folder:
        shipped = dict(_files(str(folder)))
    found = {name: TemplateFile(name, path, Origin.SHIPPED) for name, path in shipped.items()}
    for name, path in _files(user_folder()):
        found[name] = TemplateFile(name, path, Origin.USER, replaces_shipped=name in shipped)
    return [found[name] for name in sorted(found)]


def find_template(named: str) -> TemplateFile:
    """Give a template by its name or by its absolute path; raises `NotFoundError` or `InvalidValueError`."""
    if os.path.isabs(named):
        return TemplateFile(os.path.basename(named).removesuffix(SUFFIX), named, Origin.FILE)
    if "/" in named or named.endswith(SUFFIX):
        raise InvalidValueError(
            f"template {named!r} is neither a name nor an absolute path: leave {SUFFIX} out, or give the whole path",
            template=named,
        )
    found = {template.name: template for template in all_templates()}
    if named in found:
        return found[named]
    raise NotFoundError(
        f"no template {named!r} (the user's own lie in {user_folder()}); {did_you_mean(named, found)}",
        template=named,
        known=list(found),
    )


def _files(folder: str) -> Iterator[tuple[str, str]]:
    """Give name and path of what lies in a folder."""
    try:
        names = os.listdir(folder)
    except FileNotFoundError:
        return
    except OSError as error:
        raise InvalidValueError(f"the templates in {folder} cannot be listed: {error}", path=folder) from None
    for name in names:
        if name.endswith(SUFFIX) and not name.startswith("."):
            yield as_text(name.removesuffix(SUFFIX)), os.path.join(folder, name)
