"""Which kernels a run takes, what is kept of their timing, and a step that can't be compiled.

Each was seen red: ``FP32_LIKE`` at 1, ``WORTH`` at 0, ``_kept`` empty, random numbers that timing leaves moved,
and a ``Compiled`` that lets the compiler's error out; ``CLEAR`` at 1, bfloat16 for nanoGPT's preset on a CPU, a number
format that a run which goes on does not keep, one gain of compiling for both formats, ``BEHIND`` without end.
"""

import json
import time
from dataclasses import replace

import pytest
import torch

from unplateau.train import compiled, kernels, machine, stopwatch, timings
from unplateau.train.attention import explicit, sdpa
from unplateau.train.compiled import Compiled, compile_step
from unplateau.train.kernels import PLAIN, Timed, candidates, in_words, key, use, with_kernels
from unplateau.train.losses import objective_of
from unplateau.train.models import model_of
from unplateau.train.settings import Resolved, Settings
from unplateau.train.stopwatch import Kernel

pytestmark = pytest.mark.usefixtures("one_thread")
CPU = torch.device("cpu")
TINY = Settings(
    architecture="gpt2", n_layer=2, n_head=2, n_embd=16, block_size=16, vocab_size=32, batch_size=2
)
LONG = replace(TINY, max_steps=10_000_000)

#: 1e10 FLOP/s in float32 whatever the kernels
ALL = [Kernel(a, p, "float32") for a in ("sdpa", "explicit") for p in ("highest", "medium")]
TOLD = {" ".join(kernel): 1.0 for kernel in ALL} | {"flops": 1e10}


@pytest.fixture(autouse=True)
def _own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    precision = torch.get_float32_matmul_precision()
    yield
    torch.set_float32_matmul_precision(precision)


def chosen(settings, before=None, origin=None):
    return with_kernels(machine.on(Resolved(settings, origin or {}), CPU), CPU, before)


def half(seconds):
    """Timings in which bfloat16 takes ``seconds`` where float32 takes 1."""
    return TOLD | {f"{attention} highest bfloat16": seconds for attention in kernels.ATTENTION}


def test_a_short_run_takes_what_pytorch_does_and_times_nothing():
    found = chosen(TINY)

    s = found.settings
    assert (s.attention, s.matmul, s.dtype, s.compile) == (*PLAIN, "off")
    assert found.origin["attention"] == "too short a run to time kernels for"
    assert not timings.place().exists()


def test_a_long_run_is_timed_and_the_next_one_takes_the_same_untimed(monkeypatch):
    monkeypatch.setattr(stopwatch, "BUDGET", 0.05)
    first = chosen(LONG)
    monkeypatch.setattr(kernels, "of_kernels", None)  # not called again
    second = chosen(LONG)

    assert first.settings.attention in kernels.ATTENTION
    assert first.settings == second.settings
    assert first.origin["matmul"].startswith("timed on this machine")


def test_another_shape_is_timed_by_itself():
    assert key("kernels", TINY, CPU) != key("kernels", replace(TINY, block_size=32), CPU)
    assert key("kernels", TINY, CPU) != key("kernels", replace(TINY, dtype="bfloat16"), CPU)


def test_what_the_user_said_is_kept():
    found = chosen(replace(TINY, attention="explicit", compile="on"))

    assert found.settings.attention == "explicit"
    assert found.settings.compile == "on"
    assert "attention" not in found.origin


def test_a_run_that_goes_on_keeps_its_kernels():
    had = {"device": "cpu", "dtype": "float32"}
    found = chosen(LONG, had | {"attention": "explicit", "matmul": "medium", "compile": False})

    assert (found.settings.attention, found.settings.matmul, found.settings.compile) == (
        "explicit",
        "medium",
        "off",
    )
    assert {found.origin[name] for name in ("attention", "matmul", "compile")} == {"as the run had it"}


def test_a_run_of_before_there_was_a_choice_is_chosen_for():
    assert chosen(TINY, {"compile": False}).settings.attention == "sdpa"


def test_products_that_are_not_like_float32_are_not_among_what_is_timed(monkeypatch):
    monkeypatch.setattr(kernels, "relative_error", lambda *_: 2e-3)

    assert {kernel.matmul for kernel in candidates(TINY, CPU)} == {"highest"}


def test_the_error_of_a_product_tells_float32_from_bfloat16():
    a = torch.randn(64, 64)
    error = (a.bfloat16() @ a.bfloat16() - a.double() @ a.double()).norm() / (a.double() @ a.double()).norm()

    assert 0 < stopwatch.relative_error("highest", 64) < kernels.FP32_LIKE < float(error)


def test_timing_leaves_random_numbers_and_precision_as_they_were(monkeypatch):
    monkeypatch.setattr(stopwatch, "BUDGET", 0.05)
    torch.manual_seed(1)
    expected = torch.rand(3)
    torch.manual_seed(1)
    found = stopwatch.of_kernels({Kernel("explicit", "medium", "bfloat16"): explicit, PLAIN: sdpa}, TINY, CPU)

    assert all(seconds > 0 for seconds in found.seconds.values())
    assert torch.equal(torch.rand(3), expected)
    assert torch.get_float32_matmul_precision() == "highest"


def test_a_damaged_or_foreign_cache_is_no_cache():
    timings.place().parent.mkdir(parents=True)
    for content in (
        b"",
        b"\xff",
        b"[]",
        b'{"schema": 1}',
        b'{"schema": "unplateau.timings/1", "timings": {"a": 3}}',
    ):
        timings.place().write_bytes(content)
        assert timings.read("a") == {}
    timings.write("a", {"seconds": 2.0})
    assert timings.read("a") == {"seconds": 2.0}
    timings.write(key("kernels", LONG, CPU), {"sdpa highest": "x", "flops": 0})
    assert chosen(LONG).settings.attention in kernels.ATTENTION


def test_the_cache_keeps_the_newest_alone():
    for number in range(timings.MANY + 2):
        timings.write(str(number), {"n": number})

    kept = json.loads(timings.place().read_bytes())["timings"]
    assert len(kept) == timings.MANY
    assert timings.read("0") == {}
    assert timings.read(str(timings.MANY + 1)) == {"n": timings.MANY + 1}


def test_a_folder_that_can_not_be_written_keeps_nothing(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    timings.write("a", {"seconds": 2.0})

    assert timings.read("a") == {}


def test_the_quickest_is_taken_and_the_plain_one_where_that_is_as_good():
    medium = Kernel("explicit", "medium", "float32")
    seconds = {PLAIN: 1.0, medium: 0.9, Kernel("explicit", "highest", "float32"): 1.1}

    assert Timed(seconds, 1.0).kernel == medium
    assert Timed(seconds | {medium: 0.99}, 1.0).kernel == PLAIN


def test_what_lags_far_behind_is_timed_once_and_the_rest_again():
    taken = []

    def takes(seconds, name):
        def go():
            taken.append(name)
            until = time.process_time() + seconds
            while time.process_time() < until:
                pass

        return go

    passes = {"quick": takes(0.01, "quick"), "like": takes(0.011, "like"), "slow": takes(0.05, "slow")}
    stopwatch.interleaved(passes, lambda _: None, CPU)

    assert taken.count("slow") == 1
    assert taken.count("quick") > 1
    assert taken.count("like") > 1


@pytest.fixture
def _bfloat16(monkeypatch):
    monkeypatch.setattr(machine, "multiplies_in_bfloat16", lambda _: True)
    monkeypatch.setattr(kernels, "can_compile", lambda _: False)


@pytest.mark.usefixtures("_bfloat16")
@pytest.mark.parametrize(("seconds", "expected"), [(0.6, "bfloat16"), (0.95, "float32")])
def test_a_cpu_multiplies_in_bfloat16_where_that_is_clearly_quicker(seconds, expected):
    timings.write(key("kernels", LONG, CPU), half(seconds))
    found = chosen(LONG)

    assert found.settings.dtype == expected
    assert found.origin["dtype"].startswith("auto on cpu: timed on this machine")
    assert in_words(found.settings, found.origin).startswith(f"kernels: {expected}, sdpa attention, ")


@pytest.mark.usefixtures("_bfloat16")
def test_nanogpt_s_preset_and_a_short_run_stay_in_float32_on_a_cpu():
    for settings in (LONG, TINY):
        timings.write(key("kernels", settings, CPU), half(0.1))
    found = chosen(LONG, origin={"schedule": "preset nanogpt"})

    assert (found.settings.dtype, found.origin["dtype"]) == ("float32", "auto on cpu: as train.py has it")
    assert chosen(TINY).settings.dtype == "float32"
    assert chosen(replace(LONG, dtype="bfloat16")).origin.get("dtype") is None


@pytest.mark.usefixtures("_bfloat16")
def test_a_run_that_goes_on_keeps_its_number_format_on_a_like_device():
    timings.write(key("kernels", LONG, CPU), half(0.1))
    had = {"attention": "sdpa", "matmul": "highest", "compile": False, "dtype": "float32"}

    assert chosen(LONG, had | {"device": "cpu"}).settings.dtype == "float32"
    assert chosen(LONG, had | {"device": "cuda:0"}).settings.dtype == "bfloat16"


def test_a_cpu_without_bfloat16_is_not_asked_for_it(monkeypatch):
    monkeypatch.setattr(machine, "multiplies_in_bfloat16", lambda _: False)
    timings.write(key("kernels", replace(LONG, dtype="float32"), CPU), TOLD)

    assert chosen(LONG).origin["dtype"] == "auto on cpu"
    assert chosen(LONG).settings.dtype == "float32"


def test_compiling_is_worth_it_in_a_long_run_alone_and_with_a_compiler(monkeypatch):
    seconds = 600.0
    steps = int(seconds * 1e10 / (kernels._flops(replace(TINY, max_steps=1000)) / 1000))
    for name, steps_now, expected in (("short", steps // 10, "off"), ("long", steps, "on")):
        settings = replace(TINY, max_steps=steps_now, dtype="float32")
        timings.write(key("kernels", settings, CPU), TOLD)
        monkeypatch.setattr(kernels, "WORTH", 0.0)
        monkeypatch.setattr(kernels, "can_compile", lambda _: True)
        assert chosen(settings).settings.compile == expected, name
    monkeypatch.setattr(kernels, "can_compile", lambda _: False)
    assert chosen(replace(TINY, max_steps=steps, dtype="float32")).settings.compile == "off"


def test_bfloat16_gains_more_by_compiling(monkeypatch):
    steps = int(250.0 * 1e10 / (kernels._flops(replace(TINY, max_steps=1000)) / 1000))
    monkeypatch.setattr(kernels, "WORTH", 0.0)
    monkeypatch.setattr(kernels, "can_compile", lambda _: True)
    for dtype, expected in (("float32", "off"), ("bfloat16", "on")):
        settings = replace(TINY, max_steps=steps, dtype=dtype)
        timings.write(key("kernels", settings, CPU), half(1.0))
        assert chosen(settings).settings.compile == expected


def test_where_compiling_was_measured_to_be_quick_a_shorter_run_is_compiled(monkeypatch):
    steps = int(200.0 * 1e10 / (kernels._flops(replace(TINY, max_steps=1000)) / 1000))
    settings = replace(TINY, max_steps=steps, dtype="float32")
    monkeypatch.setattr(kernels, "WORTH", 0.0)
    monkeypatch.setattr(kernels, "can_compile", lambda _: True)
    timings.write(key("kernels", settings, CPU), TOLD)

    assert chosen(settings).settings.compile == "off"
    timings.write(key("compile", settings, CPU), {"seconds": 5.0})
    assert chosen(settings).settings.compile == "on"


def test_the_choice_is_what_the_model_and_its_products_get():
    attend = use(replace(TINY, attention="explicit", matmul="medium"))

    assert attend is explicit
    assert torch.get_float32_matmul_precision() == "medium"
    assert use(TINY) is sdpa
    assert torch.get_float32_matmul_precision() == "highest"


def test_one_line_tells_the_choice():
    found = chosen(TINY)

    assert (
        in_words(found.settings, found.origin)
        == "kernels: float32, sdpa attention, highest products, not compiled (too short a run to time kernels for)"
    )


@pytest.mark.parametrize("broken", [FileNotFoundError("no g++"), ImportError("no triton")])
def test_a_step_that_can_not_be_compiled_goes_on_as_it_is(monkeypatch, broken):
    def compiler(function, **_):
        del function

        def fails(*_):
            raise broken

        return fails

    said = []
    monkeypatch.setattr(compiled.torch, "compile", compiler)
    double = Compiled(lambda x: 2 * x, said.append)

    assert [double(3), double(4)] == [6, 8]
    assert said == [f"the step is not compiled, the run goes on without: {broken}"]
    assert double.seconds is None


def test_an_error_of_the_function_itself_is_no_compilers(monkeypatch):
    monkeypatch.setattr(compiled.torch, "compile", lambda function, **_: function)

    with pytest.raises(ZeroDivisionError):
        Compiled(lambda x: 1 // x, lambda _: None)(0)


def test_no_compiler_is_one_line_and_the_loss_is_the_same(monkeypatch):
    torch._dynamo.reset()
    said = []
    model = model_of(TINY)
    plain = objective_of(model, TINY)
    tokens = torch.zeros(2, 16, dtype=torch.int64)
    monkeypatch.setattr(compiled.torch, "compile", lambda f, **_: torch_compile(f, backend=no_backend))
    found = Compiled(plain, said.append)(tokens, tokens, None)

    assert found[1] == plain(tokens, tokens, None)[1]
    assert len(said) == 1
    assert "no backend here" in said[0]


torch_compile = torch.compile


def no_backend(*_):
    raise RuntimeError("no backend here")


def test_what_compiling_took_is_kept_for_the_next_choice(monkeypatch):
    monkeypatch.setattr(compiled.torch, "compile", lambda function, **_: function)

    class Stepper:
        objective = staticmethod(lambda x: x)

    class Session:
        settings, device, stepper = replace(TINY, compile="on"), CPU, Stepper()

    compile_step(Session, lambda _: None)
    assert Session.stepper.objective(3) == 3

    assert timings.read(key("compile", Session.settings, CPU))["seconds"] >= 0
