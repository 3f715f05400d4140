"""`python -m siftrec`, where the command is not on the path."""

from siftrec.cli.main import main

if __name__ == "__main__":
    main()
