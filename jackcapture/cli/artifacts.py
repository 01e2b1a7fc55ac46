"""Commands on artifacts."""

from typing import Annotated

import typer

from jackcapture.cli import text
from jackcapture.cli.session import absolute, call, show

ArtifactId = Annotated[str, typer.Argument(help="The full id, as 'artifact list' shows it.")]


def add_to(app: typer.Typer) -> None:
    """Add the commands."""
    artifact = typer.Typer(help="What was cut and kept.", no_args_is_help=True)
    artifact.command("list")(_list)
    artifact.command("show")(_show)
    artifact.command("save")(_save)
    artifact.command("materialise")(_materialise)
    artifact.command("tag")(_tag)
    artifact.command("delete")(_delete)
    app.add_typer(artifact, name="artifact")


def _list(
    kind: Annotated[str | None, typer.Option(help="Only of this kind: slice, overview, definition, manifest.")] = None,
    tag: Annotated[str | None, typer.Option(help="Only with this tag.")] = None,
    stream: Annotated[str | None, typer.Option(help="Only of this stream.")] = None,
    limit: Annotated[int, typer.Option(help="At most so many, 1 to 1000.")] = 1000,
) -> None:
    """Show artifacts, newest first."""
    show(call("artifact_list", kind=kind, tag=tag, stream_uri=stream, limit=limit), text.artifacts)


def _show(artifact_id: ArtifactId) -> None:
    """Show one artifact."""
    show(call("artifact_show", artifact_id=artifact_id), text.artifact)


def _save(artifact_id: ArtifactId, file: Annotated[str, typer.Argument(help="A new file.")]) -> None:
    """Write an artifact's content to a new file."""
    result = call("artifact_save", artifact_id=artifact_id, path=absolute(file))
    show(result, lambda saved: print(f"{saved['path']}: {text.amount(saved['bytes'])}"))


def _delete(artifact_id: ArtifactId) -> None:
    """Delete a slice; the chunks that it was cut from are its stream's again."""
    show(call("artifact_delete", artifact_id=artifact_id), lambda _: print(f"{artifact_id} is deleted"))


def _materialise(artifact_id: ArtifactId) -> None:
    """Make a file in the store of a virtual slice."""
    show(call("artifact_materialise", artifact_id=artifact_id), text.artifact)


def _tag(artifact_id: ArtifactId, tags: Annotated[list[str], typer.Argument(help="Tags to add.")]) -> None:
    """Add tags to an artifact."""
    show(call("artifact_tag", artifact_id=artifact_id, tags=tags), text.artifact)
