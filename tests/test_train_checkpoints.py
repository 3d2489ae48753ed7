"""Checkpoints on disk: whole or not there, whatever happens while one is written; damage is noticed, none is trusted.

Each guard was seen red once:
- its name given before the files are written; ``.STEP.old`` not put back by ``tidy``: the kill at every change;
- ``damage`` that looks only whether a file is there: every bit that flips;
- ``_failed`` dropped: the full disk;
- ``save`` without its copy: the save in the background.
"""

import errno
import json
import os
import shutil
import threading
from pathlib import Path

import pytest
import torch

from unplateau import durable
from unplateau.errors import UnplateauError, UnreadableError
from unplateau.train import checkpoints, saver
from unplateau.train.checkpoints import State, best, damage, found_at, prune, read, steps, tidy, whole, write
from unplateau.train.saver import Saver
from unplateau.train.tensors import read_tensors, write_tensors


def state(step, val_loss=None, size=64):
    generator = torch.Generator().manual_seed(step)
    weights = {"w": torch.randn(size, generator=generator), "n": torch.tensor(step)}
    moments = {"w.exp_avg": torch.randn(3, 5, generator=generator).to(torch.bfloat16)}
    return State(step, {"model": weights, "optimizer": moments}, {"val_loss": val_loss, "best": val_loss})


def same(found, expected):
    assert found.step == expected.step
    for part, tensors in expected.tensors.items():
        assert found.tensors[part].keys() == tensors.keys()
        assert all(torch.equal(found.tensors[part][name], t) for name, t in tensors.items())


def test_what_was_written_is_read_to_the_bit(tmp_path):
    place = write(tmp_path, state(500, 3.25))

    found = read(place)
    same(found, state(500))
    assert found.plain["val_loss"] == 3.25
    assert damage(place) == ""
    assert [p.name for p in tmp_path.iterdir()] == ["00000500"]


@pytest.mark.parametrize(
    "tensor",
    [
        torch.arange(7, dtype=torch.int64),
        torch.tensor(2.5),
        torch.zeros(0, 4),
        torch.ones(3, 2).T,
        torch.tensor([True, False, True]),
        torch.arange(5).to(torch.float16),
        torch.arange(9, dtype=torch.uint8),
    ],
    ids=lambda t: f"{t.dtype} {tuple(t.shape)}",
)
def test_tensors_of_every_kind_are_what_the_format_s_own_reader_reads(tensor, tmp_path):
    from safetensors.torch import load_file

    write_tensors(tmp_path / "t.safetensors", {"odd": torch.ones(3, dtype=torch.uint8), "t": tensor})

    assert torch.equal(load_file(tmp_path / "t.safetensors")["t"], tensor)


def test_a_change_of_what_was_read_does_not_reach_the_file(tmp_path):
    place = write(tmp_path, state(1))
    read(place).tensors["model"]["w"].zero_()

    same(read(place), state(1))


def test_the_last_two_the_best_and_every_so_many_are_kept(tmp_path):
    for step, loss in ((100, 4.0), (200, 3.0), (300, 3.5), (400, 3.6), (500, 3.7), (600, None)):
        write(tmp_path, state(step, loss))
        prune(tmp_path, keep_every=0)
    assert steps(tmp_path) == [200, 500, 600]
    assert best(tmp_path) == 200

    for step in (700, 800):
        write(tmp_path, state(step))
        prune(tmp_path, keep_every=500)
    assert steps(tmp_path) == [200, 500, 700, 800]


@pytest.mark.parametrize(
    ("word", "step"),
    [
        *(("", 300), ("checkpoints", 300), ("checkpoints/200", 200), ("checkpoints/00000200", 200)),
        *(("checkpoints/best", 100), ("checkpoints/last", 300), ("best", 100), ("last", 300)),
    ],
)
def test_a_checkpoint_is_found_by_any_way_to_name_it(word, step, tmp_path):
    for at, loss in ((100, 2.0), (200, 3.0), (300, 4.0)):
        (tmp_path / "1/checkpoints").mkdir(parents=True, exist_ok=True)
        write(tmp_path / "1/checkpoints", state(at, loss))

    place = tmp_path / "1" / word
    assert found_at(place).name == f"{step:08d}"
    assert whole(place, pytest.fail).name == f"{step:08d}"


def test_what_is_no_checkpoint_is_one_line(tmp_path):
    (tmp_path / "checkpoints").mkdir()
    with pytest.raises(UnreadableError, match="holds no checkpoint"):
        found_at(tmp_path)
    write(tmp_path / "checkpoints", state(1200))
    with pytest.raises(UnreadableError, match="no checkpoint of step 70; there are 1,200"):
        found_at(tmp_path / "checkpoints/70")


def test_every_bit_that_flips_is_noticed_and_the_checkpoint_before_is_taken(tmp_path):
    folder = tmp_path / "checkpoints"
    folder.mkdir()
    write(folder, state(100))
    place = write(folder, state(200, size=4))
    noticed = 0
    for file in sorted(place.iterdir()):
        data = file.read_bytes()
        for bit in range(0, 8 * len(data), 29):
            hurt = bytearray(data)
            hurt[bit // 8] ^= 1 << bit % 8
            file.write_bytes(hurt)
            said = []
            if file.name != checkpoints.HASHES:
                assert damage(place)
            if damage(place):  # in the list of hashes, white space may be another without harm
                assert whole(tmp_path, said.append).name == "00000100"
                assert len(said) == 1
                noticed += 1
        file.write_bytes(data)

    assert noticed > 100
    assert damage(place) == ""


@pytest.mark.parametrize("name", ["model.safetensors", "optimizer.safetensors", "state.json", "sha256.json"])
@pytest.mark.parametrize("how", ["cut", "gone", "junk"])
def test_a_damaged_file_is_said_and_where_it_was_asked_for_by_name_nothing_else_is_taken(how, name, tmp_path):
    folder = tmp_path / "checkpoints"
    folder.mkdir()
    write(folder, state(100))
    file = write(folder, state(200)) / name
    data = file.read_bytes()
    file.write_bytes({"cut": data[:-7], "junk": os.urandom(len(data)), "gone": b""}[how])
    if how == "gone":
        file.unlink()

    said = []
    assert read(whole(tmp_path, said.append)).step == 100
    assert not said or name in said[0]
    with pytest.raises(UnreadableError):
        whole(folder / "00000200", said.append)
    with pytest.raises(UnreadableError):
        read(folder / "00000200")


def test_damaged_ones_are_set_aside_before_their_steps_are_saved_again(tmp_path):
    write(tmp_path, state(100))
    place = write(tmp_path, state(200))
    (place / "state.json").write_bytes(b"{")

    checkpoints.set_aside(tmp_path, after=100)
    write(tmp_path, state(200))

    assert steps(tmp_path) == [100, 200]
    assert (tmp_path / "00000200.damaged/state.json").read_bytes() == b"{"
    same(read(tmp_path / "00000200"), state(200))


class Killed(BaseException):
    """The process ends here: nothing after it is done, no clean-up either."""


CHANGES = [(os, "fsync"), (os, "replace"), (os, "rename"), (os, "mkdir"), (os, "unlink"), (os, "rmdir")]


def killed_at(number, monkeypatch):
    """Kill before change ``number`` to the disk, or let one write of it be half done; counts changes."""
    count = iter(range(1_000_000))
    dead = []

    def told(real):
        def change(*args, **more):
            if dead or next(count) == number:
                dead.append(1)
                raise Killed
            return real(*args, **more)

        return change

    for module, name in CHANGES:
        monkeypatch.setattr(module, name, told(getattr(module, name)))
    monkeypatch.setattr(durable.DurableFile, "write", told(durable.DurableFile.write))
    return dead


@pytest.mark.parametrize("again", [False, True], ids=["new", "replaced"])
def test_killed_at_any_change_a_whole_checkpoint_is_there_and_the_next_save_succeeds(again, tmp_path):
    """Clean-up in ``except`` and ``finally`` is cut off too: after the kill every change to the disk raises."""
    sources = tmp_path / "before/checkpoints"
    sources.mkdir(parents=True)
    for step in (100, 200, 300):
        write(sources, state(step, 5 - step / 100))
    new = state(300 if again else 400, 1.0)

    kills, number, deaths = 0, 0, [1]
    while deaths:
        folder = tmp_path / f"{number}/checkpoints"
        shutil.copytree(sources, folder)
        with pytest.MonkeyPatch.context() as patch:
            deaths = killed_at(number, patch)
            try:
                write(folder, new)
                prune(folder, 0)
            except Killed:
                kills += 1
        tidy(folder)
        found = read(whole(folder.parent, pytest.fail))
        same(found, state(found.step))
        assert found.step >= 300
        assert [p for p in folder.iterdir() if p.name.startswith(".")] == []
        write(folder, new)
        prune(folder, 0)
        assert read(found_at(folder.parent)).plain["val_loss"] == 1.0
        number += 1

    assert kills > 20


def test_a_save_goes_on_in_the_background_and_later_changes_are_not_in_it(tmp_path, monkeypatch):
    going, may = threading.Event(), threading.Event()
    real = checkpoints.write

    def slow(folder, saved):
        going.set()
        assert may.wait(10)
        return real(folder, saved)

    monkeypatch.setattr(checkpoints, "write", slow)
    keeper = Saver(tmp_path / "checkpoints", 0, pytest.fail)
    now = state(100)
    keeper.save(now)
    assert going.wait(10)
    now.tensors["model"]["w"].zero_()
    assert steps(keeper.folder) == []
    may.set()
    keeper.close()

    same(read(found_at(tmp_path)), state(100))


def test_a_full_disk_keeps_the_last_good_one_says_so_and_the_next_save_tries_again(tmp_path, monkeypatch):
    said = []
    keeper = Saver(tmp_path / "checkpoints", 0, said.append)
    keeper.save(state(100))
    keeper.close()

    def full(_handle):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(durable.os, "fsync", full)
        keeper.save(state(200))
        keeper.poll(wait=True)
        assert len(said) == 1
        assert said[0].startswith(
            "step 200 is not saved, the run goes on: can't write model.safetensors: No space"
        )
        keeper.poll()
        assert len(said) == 1
        assert [p.name for p in keeper.folder.iterdir()] == ["00000100"]
        keeper.save(state(300))
        with pytest.raises(UnplateauError, match="No space left"):
            keeper.close()
    keeper.save(state(400))
    keeper.close()

    assert steps(keeper.folder) == [100, 400]


def test_weights_that_are_no_numbers_are_not_saved(tmp_path):
    keeper = Saver(tmp_path / "checkpoints", 0, pytest.fail)
    keeper.save(state(100))
    broken = state(200)
    broken.tensors["model"]["w"][3] = float("nan")
    keeper.save(broken)

    with pytest.raises(UnplateauError, match="w holds weights that are no numbers"):
        keeper.close()
    assert steps(keeper.folder) == [100]


def test_a_fault_of_the_code_is_not_taken_for_a_full_disk(tmp_path):
    keeper = Saver(tmp_path / "checkpoints", 0, pytest.fail)
    keeper.save(State(1, {"model": {}}, {"what": object()}))
    with pytest.raises(TypeError):
        keeper.poll(wait=True)


def test_what_a_killed_save_left_is_removed_when_the_run_goes_on(tmp_path):
    write(tmp_path, state(100))
    shutil.copytree(tmp_path / "00000100", tmp_path / ".00000200.tmp")
    shutil.copytree(tmp_path / "00000100", tmp_path / ".00000050.gone")
    (tmp_path / "mine.txt").write_text("kept")

    tidy(tmp_path)

    assert sorted(p.name for p in tmp_path.iterdir()) == ["00000100", "mine.txt"]


def test_memory_for_the_copies_is_taken_once(tmp_path):
    keeper = Saver(tmp_path / "checkpoints", 0, pytest.fail)
    keeper.ready(state(1).tensors)
    keeper.poll(wait=True)
    held = keeper._copies["model"]["w"].data_ptr()
    for step in (1, 2):
        keeper.save(state(step))
    keeper.close()

    assert keeper._copies["model"]["w"].data_ptr() == held
    same(read(found_at(tmp_path)), state(2))


def test_nothing_is_unpickled(tmp_path):
    place = write(tmp_path, state(1))
    torch.save({"model": {}}, place / "model.safetensors")

    with pytest.raises(UnreadableError, match=r"model\.safetensors"):
        read(place, proved=False)
    assert json.loads((place / "state.json").read_bytes())["step"] == 1
    assert Path(saver.__file__).read_text().count("pickle") == 0
    assert read_tensors(write(tmp_path, state(2)) / "model.safetensors")
