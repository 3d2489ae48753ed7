"""Runs, one after another, in each of torchrun's processes: the words of each, as JSON. What ends one early is printed."""

import json
import os
import sys

from unplateau.errors import UnplateauError


def main():
    import torch

    from unplateau.train.configure import resolve
    from unplateau.train.loop import train

    torch.distributed.init_process_group("gloo")  # once: torchrun's store keeps the addresses of a group
    for words in json.loads(sys.argv[1]):
        try:
            train(resolve(None, words))
        except UnplateauError as error:
            sys.stdout.write(f"{type(error).__name__} {error}\n")
            sys.stdout.flush()
    os._exit(0)  # see cli.training.ended


if __name__ == "__main__":
    main()
