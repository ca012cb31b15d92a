"""The command line. One file a verb: parse, call, print. torch is imported by what trains, not here."""

from __future__ import annotations

import sys

import typer

from edgekd.cli import (
    bench,
    compress,
    doctor,
    explain,
    fetch,
    firmware,
    init,
    inspect,
    photonic,
    report,
    run,
    sensitivity,
    students,
    targets,
    teach,
    verify,
)

app = typer.Typer(
    name="edgekd",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    help="Distil, quantize, compile and verify small vision networks for the edge.\n\n"
    "Begin with: edgekd compress --target jetson",
)
for verb in (
    compress,
    verify,
    bench,
    firmware,
    explain,
    run,
    report,
    inspect,
    sensitivity,
    teach,
    init,
    targets,
    students,
    fetch,
    doctor,
):
    app.command(verb.NAME)(verb.main)
app.add_typer(photonic.app, name=photonic.NAME)


@app.callback(invoke_without_command=True)
def version(show: bool = typer.Option(False, "--version", help="Print the version and stop.")) -> None:
    """Print the version."""
    if show:
        from edgekd import __version__

        typer.echo(f"edgekd {__version__}")
        raise typer.Exit


def main() -> None:
    """Run the command line; a mistake of the user never ends in a traceback."""
    from edgekd.cli.console import fail, interrupted

    try:
        code = app(standalone_mode=False, prog_name="edgekd")
        if code == 130:  # how the parser tells of Ctrl-C
            interrupted()
    except KeyboardInterrupt:
        code = interrupted()
    except Exception as error:
        code = fail(error)
    sys.exit(code if isinstance(code, int) else 0)
