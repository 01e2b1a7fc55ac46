"""The commands' entry: global options, groups, errors and exit statuses."""

import sys
from typing import Annotated

import typer

from jackcapture._version import VERSION
from jackcapture.cli import (
    agents,
    artifacts,
    doctor,
    midi,
    overviews,
    rig,
    sessions,
    slices,
    status,
    store,
    streams,
    transport,
    watch,
)
from jackcapture.cli.session import options, report
from jackcapture.errors import InvalidValueError, JackCaptureError

app = typer.Typer(
    name="jackcapture",
    help="Turn a JACK graph into an endless, addressable tape.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)

_GLOBAL_FLAGS = ("--json",)
_GLOBAL_OPTIONS = ("--root", "--runtime", "--server", "--config")


@app.callback(invoke_without_command=True)
def _global_options(
    context: typer.Context,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
    root: Annotated[str | None, typer.Option(help="The store.")] = None,
    runtime: Annotated[str | None, typer.Option(help="The directory of the sockets.")] = None,
    server: Annotated[str | None, typer.Option(help="The JACK server.")] = None,
    config: Annotated[str | None, typer.Option(help="The TOML configuration file.")] = None,
    version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False,
) -> None:
    options.json = json
    options.root, options.runtime, options.server, options.config = root, runtime, server, config
    if version:
        print(VERSION)
        raise typer.Exit
    if context.invoked_subcommand is None:
        raise InvalidValueError("no command given; see 'jackcapture --help'")


for commands in (
    status,
    watch,
    streams,
    sessions,
    slices,
    overviews,
    midi,
    transport,
    artifacts,
    store,
    doctor,
    rig,
    agents,
):
    commands.add_to(app)


def main() -> None:
    """Run the command line and exit with the status of the error tree."""
    options.json = "--json" in sys.argv[1:]  # known even if the rest does not parse
    try:
        status_or_none = app(args=_global_options_first(sys.argv[1:]), standalone_mode=False)
    except JackCaptureError as error:
        sys.exit(report(error))
    except typer.Abort:
        sys.exit(130)
    except KeyboardInterrupt:
        sys.exit(130)
    except BrokenPipeError:
        sys.stderr.close()
        sys.exit(1)
    except Exception as error:
        message = getattr(error, "format_message", None)  # of the parser's usage errors
        if message is None:
            raise
        sys.exit(
            report(InvalidValueError(f"{message().rstrip('.')}{_given(error)}; see '{_command_of(error)} --help'"))
        )
    sys.exit(status_or_none or 0)


def _given(error: Exception) -> str:
    """Quote the value that did not fit: the parser's message leaves it out."""
    details = getattr(error.__context__, "errors", None)
    return f" (given: {details()[0]['input']!r})" if details is not None else ""


def _command_of(error: Exception) -> str:
    context = getattr(error, "ctx", None)
    return str(context.command_path) if context is not None else "jackcapture"


def _global_options_first(arguments: list[str]) -> list[str]:
    """Let the global options stand anywhere before `--`: scripts append `--json` to a command."""
    first: list[str] = []
    rest: list[str] = []
    waiting = iter(arguments)
    for argument in waiting:
        if argument == "--":
            rest += [argument, *waiting]
        elif argument in _GLOBAL_FLAGS or argument.startswith(tuple(f"{name}=" for name in _GLOBAL_OPTIONS)):
            first.append(argument)
        elif argument in _GLOBAL_OPTIONS:
            value = next(waiting, None)
            if value is None:
                raise InvalidValueError(f"{argument} needs a value; see 'jackcapture --help'")
            first += [argument, value]
        else:
            rest.append(argument)
    return first + rest
