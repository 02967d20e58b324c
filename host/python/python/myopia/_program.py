"""The program ``myopia``."""

import signal
import sys

from myopia import _myopia


def main() -> int:
    """Carries out the command that the process was started with; its exit status."""
    # Python has put a handler of its own there, which nobody would ask while the command runs. What
    # whoever started the process had told it to ignore stays ignored.
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    return _myopia.main(sys.argv[1:])
