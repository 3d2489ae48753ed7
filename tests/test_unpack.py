"""Packed logs: whole, in several members, cut, damaged, and too large once unpacked."""

import gzip
import io
import random
import tracemalloc

import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from unplateau import cli
from unplateau import source as source_module
from unplateau.reading import read_runs
from unplateau.source import Source
from unplateau.unpack import DamagedError, gunzipped, unzstd

MIB = 1 << 20
PACK = {"gz": gzip.compress, "zst": lambda raw: zstandard.ZstdCompressor(write_checksum=True).compress(raw)}
UNPACK = {"gz": gunzipped, "zst": unzstd}
KINDS = pytest.mark.parametrize("kind", ["gz", "zst"])


def log(lines=4000):
    chance = random.Random(1)
    return "".join(f"iter {n}: loss {chance.random() + 3:.4f}, time 9ms\n" for n in range(lines)).encode()


def unpacked(kind, packed, piece=MIB):
    """What came, and whether it ended as it should."""
    blocks = []
    try:
        for block in UNPACK[kind](io.BytesIO(packed), piece):
            assert 0 < len(block) <= piece
            blocks.append(block)
    except DamagedError:
        return b"".join(blocks), False
    return b"".join(blocks), True


@KINDS
@given(parts=st.lists(st.binary(max_size=3000), min_size=1, max_size=4), piece=st.sampled_from([1, 7, MIB]))
def test_what_was_packed_comes_back(kind, parts, piece):
    packed = b"".join(PACK[kind](part) for part in parts)

    assert unpacked(kind, packed, piece) == (b"".join(parts), True)


@KINDS
@given(cut=st.floats(0.0, 1.0))
def test_what_lies_before_a_cut_comes_back_and_the_cut_is_told(kind, cut):
    raw = log(9000) if kind == "zst" else log(1000)
    whole = PACK[kind](raw)
    at = int(cut * len(whole))
    found, sound = unpacked(kind, whole[:at])

    assert raw.startswith(found)
    assert sound == (at in {0, len(whole)})
    # zstd gives whole blocks only, of 128 KiB at most
    assert len(found) >= at / len(whole) * len(raw) - (max(2000, len(raw) // 10) if kind == "gz" else 300_000)


@pytest.mark.parametrize("share", [0.2, 0.5, 0.9])
def test_less_than_a_buffer_of_a_cut_gzip_is_read(share, tmp_path):
    raw = log()
    packed = gzip.compress(raw)
    path = tmp_path / "train.log.gz"
    path.write_bytes(packed[: int(share * len(packed))])

    (run,) = read_runs(path)

    assert len(raw) < MIB
    assert abs(len(run.series["batch_loss"]) - share * 4000) < 200
    assert any("damaged after" in w and "ends within" in w for w in run.warnings)


@KINDS
def test_a_cut_log_is_read_from_outside_with_a_warning(kind, tmp_path, capsys):
    packed = PACK[kind](log(40_000))
    path = tmp_path / f"train.log.{kind}"
    path.write_bytes(packed[: len(packed) // 2])

    assert cli.main(["read", str(path)]) == 0
    assert "damaged after" in capsys.readouterr().out


@KINDS
def test_a_byte_that_is_turned_costs_only_what_follows(kind):
    raw = log(40_000)
    packed = bytearray(PACK[kind](raw))
    packed[len(packed) // 2] ^= 0xFF
    found, sound = unpacked(kind, bytes(packed))

    assert not sound
    assert len(found) > 0.3 * len(raw)
    assert found[: len(raw) // 3] == raw[: len(raw) // 3]


def test_a_wrong_checksum_costs_nothing():
    raw = log(10)
    packed = bytearray(gzip.compress(raw))
    packed[-6] ^= 1

    assert unpacked("gz", bytes(packed)) == (raw, False)


def test_zeros_between_members_are_no_damage():
    packed = gzip.compress(b"a") + bytes(600) + gzip.compress(b"b") + bytes(99)

    assert unpacked("gz", packed) == (b"ab", True)


@KINDS
def test_a_bomb_is_refused_in_little_memory(kind, tmp_path, monkeypatch):
    path = tmp_path / f"bomb.{kind}"
    path.write_bytes(PACK[kind](bytes(200 * MIB)))
    monkeypatch.setattr(source_module, "UNPACKED", 100 * MIB)
    tracemalloc.start()

    with pytest.raises(source_module.UnreadableError, match="refused"):
        sum(len(block) for block in Source(path).blocks())

    assert tracemalloc.get_traced_memory()[1] < 80 * MIB
    tracemalloc.stop()
