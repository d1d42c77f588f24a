"""python -m vicinal.cli."""

from vicinal.cli.app import main

if __name__ == "__main__":
    main()
