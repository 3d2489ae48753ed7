"""What can't be read is refused in one line that says what was found and what to do."""

import os
import random
import struct
import zlib
from pathlib import Path

import pytest

from unplateau import cli
from unplateau.manifest import DATA

LOG = "".join(f"iter {n}: loss {4 - n / 100:.4f}, time 9.00ms, mfu 1.00%\n" for n in range(0, 90, 10))


@pytest.fixture
def log(tmp_path):
    (tmp_path / "train.log").write_text(LOG)
    return str(tmp_path / "train.log")


def refusal(capsys, *args):
    code = cli.main(["read", *map(str, args)])
    said = capsys.readouterr()
    assert (code, said.out, said.err.count("\n")) == (3, "", 1)
    return said.err


def a_picture():
    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    pixels = zlib.compress(random.Random(1).randbytes(64 * 193))
    size = struct.pack(">IIBBBBB", 64, 64, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", size) + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")


class TestBinaries:
    def test_a_picture_is_called_one(self, tmp_path, capsys):
        (tmp_path / "loss.png").write_bytes(a_picture())

        assert "loss.png is a binary file of no format that is known" in refusal(
            capsys, tmp_path / "loss.png"
        )

    @pytest.mark.skipif(not Path("/bin/ls").is_file(), reason="no /bin/ls here")
    def test_so_is_a_program(self, capsys):
        assert "ls is a binary file of no format that is known" in refusal(capsys, "/bin/ls")

    def test_words_between_noise_are_no_log(self, tmp_path, capsys):
        noise = random.Random(2).randbytes
        text = b"".join(noise(200) + b"\nstep %d loss 3.5\n" % n for n in range(30))
        (tmp_path / "x").write_bytes(text)

        assert "is a binary file" in refusal(capsys, tmp_path / "x")

    def test_a_log_that_a_crash_left_holes_in_is_read(self, tmp_path, capsys):
        half = len(LOG) // 2
        (tmp_path / "x.log").write_bytes(
            LOG[:half].encode() + bytes(4096) + b"\x01\x02" + LOG[half:].encode()
        )

        assert cli.main(["read", str(tmp_path / "x.log")]) == 0
        assert "batch_loss" in capsys.readouterr().out


class TestManifests:
    def test_without_a_known_key_is_told_the_keys(self, log, tmp_path, capsys):
        (tmp_path / "data.json").write_text('{"tokenz": 5}')
        said = refusal(capsys, log, "--data", tmp_path / "data.json")

        assert "data.json tells nothing of the data" in said
        assert "docs/manifest.md" in said
        assert all(key in said for key in DATA)

    def test_beside_the_log_it_is_ignored(self, log, tmp_path):
        (tmp_path / "manifest.json").write_text('{"tokenz": 5}')

        assert cli.main(["read", log]) == 0


@pytest.mark.parametrize("option", ["--config", "--data"])
def test_a_missing_file_is_said_as_a_missing_log_is(option, log, tmp_path, capsys):
    missing_log = refusal(capsys, tmp_path / "nope")
    missing = refusal(capsys, log, option, tmp_path / "nope")

    assert missing_log.startswith("unplateau: there is no nope; expected ")
    assert missing.startswith("unplateau: there is no nope; expected ")


def test_a_name_that_is_too_long_is_one_line(log, capsys):
    refusal(capsys, log, "--config", "x" * 5000)


def test_the_error_of_a_config_ends_with_a_word(log, tmp_path, capsys):
    (tmp_path / "bad.yaml").write_text("train:\n  steps: 10\n\tlr: 1e-3\n" + "nonsense: [1, 2\n" * 9)
    said = refusal(capsys, log, "--config", tmp_path / "bad.yaml").strip()

    assert "bad.yaml is not valid YAML" in said
    assert said.endswith(("…", "token", "indentation", ".", "column 1", "tag", "mapping", "1"))


GERMAN = "Schritt;Verlust;Rate\n" + "".join(f"{n}00;{9 - n},5123;0,001\n" for n in range(1, 9))


def test_a_table_of_other_words_shows_its_columns_and_how_to_name_them(tmp_path, capsys):
    (tmp_path / "weird.csv").write_text(GERMAN)
    said = refusal(capsys, tmp_path / "weird.csv")

    assert "Schritt, Verlust, Rate" in said
    assert "--map val_loss=COLUMN" in said
    assert "--map step=COLUMN" in said


def test_and_is_read_once_they_are_named(tmp_path, capsys):
    (tmp_path / "weird.csv").write_text(GERMAN)
    code = cli.main(
        ["read", str(tmp_path / "weird.csv"), "--map", "step=Schritt", "--map", "val_loss=Verlust"]
    )

    assert code == 0
    assert "val_loss: 8 points, steps 100 to 800, 8.5" in capsys.readouterr().out


def test_a_short_table_shows_its_columns_too(tmp_path, capsys):
    (tmp_path / "short.csv").write_text("Schritt;Verlust\n100;8,5\n200;7,5\n")

    assert "Schritt, Verlust" in refusal(capsys, tmp_path / "short.csv")


def test_words_where_the_loss_should_be_are_shown(tmp_path, capsys):
    (tmp_path / "run.csv").write_text("step,train_loss,lr\n0,3.5 nats,1\n100,3.4 nats,1\n200,3.3 nats,1\n")
    (tmp_path / "empty.csv").write_text("step,loss,lr\n0,,1\n100,,1\n200,,1\n")

    said = refusal(capsys, tmp_path / "run.csv")

    assert (
        "run.csv: column 'train_loss' holds no number in the first 3 rows, but '3.5 nats'; expected numbers"
        in said
    )
    assert "'loss' holds no number in the first 3 rows, they are empty;" in refusal(
        capsys, tmp_path / "empty.csv"
    )


def test_words_where_the_step_should_be_are_shown(tmp_path, capsys):
    (tmp_path / "run.csv").write_text("epoch,loss,val_loss\n1/3,3.5,3.6\n2/3,3.4,3.5\n3/3,3.3,3.4\n")

    said = refusal(capsys, tmp_path / "run.csv")

    assert "no row of run.csv has a step: its column 'epoch' holds '1/3'; expected whole numbers" in said


def test_a_folder_that_may_not_be_listed_is_not_one_without_logs(tmp_path, capsys, monkeypatch):
    """Seen red without the look into the folder: "holds no log". Root may list anything, so the system is played."""
    (tmp_path / "train.log").write_text(LOG)

    def denied(_):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "iterdir", denied)

    assert "Permission denied" in refusal(capsys, tmp_path)


@pytest.mark.skipif(not Path("/dev/fd").exists(), reason="no /dev/fd here: pipes have no names")
def test_what_a_shell_gives_for_a_command_is_called_a_pipe(capsys):
    out, into = os.pipe()

    said = refusal(capsys, f"/dev/fd/{out}")

    os.close(out)
    os.close(into)
    assert f"{out} is a pipe, which can't be read twice: " in said
    assert "zcat train.log.gz | unplateau diagnose -" in said
