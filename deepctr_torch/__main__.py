"""`python -m deepctr_torch` is the command `deepctr-torch`."""

from .cli import main

if __name__ == "__main__":
    main()
