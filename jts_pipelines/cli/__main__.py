"""Run the jts command."""


def main() -> None:
    """Run."""


if __name__ == "__main__":
    main()
