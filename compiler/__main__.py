"""`python -m vggc` is the command `vggc`."""

from vggc.cli import main

main()
