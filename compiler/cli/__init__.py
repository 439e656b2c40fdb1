"""The command line: the only package that prints or exits."""

import sys

# Loading the libraries takes a large part of a second. A Ctrl-C during it ends like a Ctrl-C at any later moment.
try:
    from vggc.cli.interrupts import held_back

    with held_back():
        from vggc.cli.main import main
except KeyboardInterrupt:
    sys.stderr.write("interrupted: no output was written\n")
    sys.exit(130)

__all__ = ["main"]
