"""python -m vicinal.cli."""

from vicinal.cli.app import main

main()
