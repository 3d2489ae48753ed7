"""Headers of checkpoints, read without building a class or running code; torch is not needed."""

import io
import json
import pickle
import struct
import zipfile

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from unplateau._pickle import Opaque, inert
from unplateau.checkpoint import read_checkpoint
from unplateau.errors import UnplateauError, UnreadableError
from unplateau.facts import VOCABULARY


class Reduces:
    """Pickles as a call of ``target``; what torch's tensors and a trap have in common."""

    def __init__(self, target, *args):
        self.target, self.args = target, args

    def __reduce__(self):
        return self.target, self.args


class Args:
    """Stands for Transformers' TrainingArguments: a class with a state."""


def zipped(payload, name="ckpt/data.pkl"):
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr(name, payload)
        archive.writestr("ckpt/data/0", bytes(64))
        archive.writestr("ckpt/version", "3\n")
    return file.getvalue()


MODEL = {
    "n_layer": 2,
    "n_head": 4,
    "n_embd": 64,
    "block_size": 48,
    "bias": False,
    "vocab_size": 86,
    "dropout": 0.0,
}
CONFIG = {
    "n_layer": 2,
    "learning_rate": 5e-3,
    "max_iters": 1700,
    "decay_lr": True,
    "grad_clip": 0.5,
    "wandb_api_key": "hunter2",
    "out_dir": "out",
}


def ckpt(**changes):
    content = {
        "model": {"transformer.wte.weight": Reduces(print, "a tensor")},
        "optimizer": {"state": {0: Reduces(print, "moments")}, "param_groups": [{"lr": 0.1}]},
        "model_args": MODEL,
        "iter_num": 1500,
        "best_val_loss": 1.69,
        "config": CONFIG,
        **changes,
    }
    return zipped(pickle.dumps(content, protocol=2))


def written(tmp_path, data, name="ckpt.pt"):
    path = tmp_path / name
    path.write_bytes(data)
    return path


class TestNanoGPT:
    def test_tells_its_settings_and_where_it_stopped(self, tmp_path):
        facts = read_checkpoint(written(tmp_path, ckpt()))

        assert facts["vocab_size"].value == 86
        assert (facts["grad_clip"].value, facts["grad_clip"].source) == (0.5, "ckpt.pt: grad_clip")
        assert facts["checkpoint_step"].value == 1500
        assert facts["best_val_loss"].value == 1.69
        assert "hunter2" not in repr(facts)
        assert set(facts) <= set(VOCABULARY)

    @pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
    def test_reads_every_protocol(self, tmp_path, protocol):
        data = zipped(pickle.dumps({"model_args": MODEL, "iter_num": 7}, protocol=protocol))

        assert read_checkpoint(written(tmp_path, data))["checkpoint_step"].value == 7

    def test_runs_nothing(self, tmp_path):
        target = tmp_path / "made"
        trap = Reduces(exec, f"import pathlib; pathlib.Path({str(target)!r}).touch()")

        facts = read_checkpoint(written(tmp_path, ckpt(trap=trap, config={**CONFIG, "trap": trap})))

        assert facts["n_layer"].value == 2
        assert not target.exists()
        pickle.loads(pickle.dumps(trap))
        assert target.exists()  # the trap does work

    def test_a_loss_that_is_not_finite_is_left_out(self, tmp_path):
        assert "best_val_loss" not in read_checkpoint(written(tmp_path, ckpt(best_val_loss=float("nan"))))


class TestTransformers:
    def test_training_arguments_are_a_state(self, tmp_path):
        args = Args()
        args.__dict__ = {
            "learning_rate": 2e-5,
            "per_device_train_batch_size": 8,
            "lr_scheduler_type": Reduces(str, "cosine"),
            "hub_token": "hunter2",
            "max_steps": 900,
        }
        path = written(tmp_path, zipped(pickle.dumps(args)), "training_args.bin")

        facts = read_checkpoint(path)

        assert (facts["peak_lr"].value, facts["schedule"].value, facts["max_steps"].value) == (
            2e-5,
            "cosine",
            900,
        )
        assert "hunter2" not in repr(facts)

    def test_a_folder_is_read_as_one(self, tmp_path):
        written(tmp_path, ckpt())
        header = json.dumps(
            {"wte.weight": {"dtype": "F32", "shape": [86, 64], "data_offsets": [0, 8]}}
        ).encode()
        written(tmp_path, struct.pack("<Q", len(header)) + header, "model.safetensors")

        facts = read_checkpoint(tmp_path)

        assert facts["checkpoint_step"].value == 1500
        assert facts["params_logged"].value == 86 * 64


class TestDamage:
    @pytest.mark.parametrize(
        "data",
        [
            b"",
            b"PK\x03\x04",
            b"not a checkpoint",
            zipped(b""),
            zipped(b"\x80\x02"),
            zipped(b"cos\nsystem\n(S'true'\ntR."),
            zipped(pickle.dumps([1, 2])),
            zipped(pickle.dumps({}), name="else.pkl"),
            zipped(b"\x80\x02]r\xff\xff\xff\x7f."),
            zipped(b"(" * 100_000 + b"."),
            zipped(b"]" + b"2a" * 1000 + b"."),
        ],
    )
    def test_is_one_line_or_nothing(self, tmp_path, data):
        try:
            facts = read_checkpoint(written(tmp_path, data))
        except UnplateauError as error:
            assert "\n" not in str(error)  # noqa: PT017 - it may raise or not
        else:
            assert set(facts) <= {"checkpoint_step", "best_val_loss"}

    @pytest.mark.parametrize(
        "header", [b"", b"\xff" * 8, struct.pack("<Q", 2**60), struct.pack("<Q", 4) + b"[12]"]
    )
    def test_of_safetensors_is_one_line(self, tmp_path, header):
        with pytest.raises(UnreadableError):
            read_checkpoint(written(tmp_path, header, "model.safetensors"))

    def test_a_bomb_in_the_zip_is_refused(self, tmp_path):
        file = io.BytesIO()
        with (
            zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive,
            archive.open("c/data.pkl", "w") as member,
        ):
            for _ in range(65):
                member.write(bytes(1 << 20))

        with pytest.raises(UnreadableError, match="more than 64 MiB"):
            read_checkpoint(written(tmp_path, file.getvalue()))


GOOD = pickle.dumps(
    {"model_args": MODEL, "config": CONFIG, "iter_num": 3, "t": Reduces(print, 1, (2, [3]))}, protocol=2
)


@settings(max_examples=300, deadline=None)
@given(
    flips=st.lists(st.tuples(st.integers(0, len(GOOD) - 1), st.integers(0, 255)), max_size=6),
    cut=st.integers(0, len(GOOD)),
)
def test_a_damaged_pickle_is_data_or_refused(flips, cut):
    data = bytearray(GOOD)
    for place, byte in flips:
        data[place] = byte
    for damaged in (bytes(data), bytes(data[:cut])):
        try:
            inert(damaged)
        except UnreadableError as error:
            assert "\n" not in str(error)  # noqa: PT017 - it may raise or not


@settings(max_examples=300, deadline=None)
@given(data=st.binary(max_size=200))
def test_random_bytes_are_data_or_refused(data):
    try:
        inert(data)
    except UnreadableError:
        return


VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False)
    | st.text(max_size=8)
    | st.binary(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.text(max_size=4), inner, max_size=3)
        | st.tuples(inner, inner)
    ),
    max_leaves=10,
)


@given(value=VALUES, protocol=st.integers(0, pickle.HIGHEST_PROTOCOL))
def test_plain_data_comes_back_as_it_was(value, protocol):
    if protocol < 3 and ("b'" in repr(value) or 'b"' in repr(value)):
        return  # old protocols pickle bytes as a call
    assert inert(pickle.dumps(value, protocol)) == value


def test_a_class_stays_a_name():
    seen = inert(pickle.dumps(Args()))

    assert isinstance(seen, Opaque)


@settings(max_examples=100, deadline=None)
@given(data=st.binary(max_size=120), good=st.booleans())
def test_random_files_are_refused_in_one_line(tmp_path_factory, data, good):
    path = tmp_path_factory.mktemp("c") / "ckpt.pt"
    path.write_bytes(zipped(data) if good else data)
    try:
        read_checkpoint(path)
    except UnplateauError as error:
        assert "\n" not in str(error)  # noqa: PT017 - it may raise or not
