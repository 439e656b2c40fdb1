"""The command line: the only place that prints, and the only one that exits."""

import sys

# Loading what a command needs takes a good part of a second, and a Ctrl-C in it ends as one at any later moment.
try:
    from vggc.cli.interrupts import held_back

    with held_back():
        from vggc.cli.main import main
except KeyboardInterrupt:
    sys.stderr.write("interrupted: nothing was written\n")
    sys.exit(130)

__all__ = ["main"]
