"""SIGTERM and SIGINT, noticed at once also while the main thread is inside a library that holds it for seconds."""

import contextlib
import signal
import socket
import threading
from collections.abc import Callable, Iterator

SIGNALS = (signal.SIGTERM, signal.SIGINT)


@contextlib.contextmanager
def on_stop(react: Callable[[], None]) -> Iterator[None]:
    """Call ``react`` once, in a thread of its own, when this process is asked to stop.

    Python runs signal handlers in the main thread only, between two of its own instructions. The byte it writes to
    the wake-up descriptor arrives at once, whatever the main thread does.
    """
    asked, written = socket.socketpair()
    written.setblocking(False)
    former = {number: signal.signal(number, lambda *_: None) for number in SIGNALS}
    descriptor = signal.set_wakeup_fd(written.fileno(), warn_on_full_buffer=False)

    def work() -> None:
        while data := asked.recv(1):
            if data[0] in SIGNALS:
                react()
                return

    thread = threading.Thread(target=work, name="stop", daemon=True)
    thread.start()
    try:
        yield
    finally:
        signal.set_wakeup_fd(descriptor)
        for number, handler in former.items():
            signal.signal(number, handler)
        written.close()
        thread.join(1)
        asked.close()
