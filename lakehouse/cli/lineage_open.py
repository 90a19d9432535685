"""``lakehouse lineage open``: the whole graph as one page, served on this machine only, or written to a file."""

from __future__ import annotations

import contextlib
import http.server
import signal
from pathlib import Path

import click


@click.command(
    epilog="""\b
Examples:
  lakehouse lineage open                                  # serves the page and opens a browser; Ctrl-C ends it
  lakehouse lineage open dim_batch.batch_start            # with this column's lineage
  lakehouse lineage open --output lineage.html            # a file to keep or to send; it needs no network
"""
)
@click.argument("name", required=False)
@click.option("--output", type=click.Path(dir_okay=False, path_type=Path), help="Write the page here and end.")
@click.option("--no-browser", is_flag=True, help="Print the address, open nothing.")
@click.option("--port", type=click.IntRange(0, 65535), default=0, help="Port on 127.0.0.1; a free one by default.")
def command(name: str | None, output: Path | None, no_browser: bool, port: int) -> int:
    """Show the lineage graph as a page; NAME is a dataset or column to begin with."""
    from lakehouse.cli.lineage_show import load_graph, resolve
    from lakehouse.errors import UnavailableError
    from lineage.page.build import html
    from lineage.page.model import fragment

    graph = load_graph()
    start = ""
    if name:
        asked = resolve(graph, name)
        start = f"#{fragment(asked.dataset, asked.column)}"
    page = html(graph, about="From the recorded runs of this platform").encode()
    if output is not None:
        try:
            output.write_bytes(page)
        except OSError as error:
            raise UnavailableError(
                f"The page cannot be written to {output}: {error.strerror}.", remedy="Give another file with --output."
            ) from error
        click.echo(f"{output} ({len(page) / 1e6:.1f} MB)")
        return 0
    with _server(page, port) as server:
        address = f"http://127.0.0.1:{server.server_address[1]}/{start}"
        click.echo(f"{address}\nCtrl-C ends it.")
        if not no_browser:
            click.launch(address)
        # Said explicitly: a background shell hands down that SIGINT is ignored.
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, signal.default_int_handler)
        with contextlib.suppress(KeyboardInterrupt):
            server.serve_forever()
    return 0


def _server(page: bytes, port: int) -> http.server.ThreadingHTTPServer:
    """A server of this one page, on 127.0.0.1.

    Raises:
        BusyError: the port is taken.
    """
    from lakehouse.errors import BusyError

    class Handler(http.server.BaseHTTPRequestHandler):
        """Answers with the page, whoever asks for it by this machine's own name."""

        def do_GET(self) -> None:
            host = (self.headers.get("Host") or "").rpartition(":")[0]
            known = host in ("127.0.0.1", "localhost") and self.path == "/"
            self.send_response(200 if known else 404)
            self.send_header("Content-Type", "text/html; charset=utf-8")
            self.send_header("Content-Length", str(len(page) if known else 0))
            self.send_header("Cache-Control", "no-store")
            self.send_header("X-Content-Type-Options", "nosniff")
            self.end_headers()
            if known:
                self.wfile.write(page)

        def log_message(self, format: str, *args: object) -> None:
            """Nothing: the terminal belongs to the user."""

    try:
        return http.server.ThreadingHTTPServer(("127.0.0.1", port), Handler)
    except OSError as error:
        raise BusyError(f"Port {port} on 127.0.0.1 is taken.", remedy="Give another one with --port.") from error
