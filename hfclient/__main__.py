"""`python -m hfclient` is the command line."""

from hfclient.cli.commands import main

main(prog_name="hfclient")
