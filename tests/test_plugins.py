"""Plug-ins of third parties: an installed package brings a reader or a cause through an entry point."""

import sys

import pytest

from unplateau.plugins import FAMILIES, discover
from unplateau.readers import choose
from unplateau.source import Source

READER = """
from unplateau.curve import Curve
from unplateau.readers import Reader
from unplateau.run import Run

def sniff(sample, name):
    return sample.count(b"acme loss=")

def read(source, options):
    values = [float(text.rpartition("=")[2]) for _, text in source.lines() if text.startswith("acme")]
    return [Run("acme", "{name}", {{"batch_loss": Curve(range(len(values)), values, "nats")}})]

READER = Reader("{name}", "acme's own: acme loss=3.2", sniff, read)
"""


@pytest.fixture
def install(tmp_path, monkeypatch):
    """Put a package with one reader on the path, as pip would: a module and its dist-info."""

    def put(name):
        (tmp_path / "acme_reader.py").write_text(READER.format(name=name))
        info = tmp_path / "acme_reader-1.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text("Metadata-Version: 2.1\nName: acme-reader\nVersion: 1.0\n")
        (info / "entry_points.txt").write_text("[unplateau.readers]\nacme = acme_reader:READER\n")
        monkeypatch.syspath_prepend(str(tmp_path))

    yield put
    sys.modules.pop("acme_reader", None)


def test_an_installed_reader_is_found_and_reads_its_log(install, tmp_path):
    install("acme")
    log = tmp_path / "acme.log"
    log.write_text("acme loss=3.5\nacme loss=3.25\n")
    source = Source(log)

    reader = choose(source)

    assert reader is not None
    assert reader.name == "acme"
    (run,) = reader.read(source, None)
    assert run.series["batch_loss"].value.tolist() == [3.5, 3.25]


def test_without_the_package_there_is_no_such_reader():
    assert "acme" not in discover("readers")


def test_two_plug_ins_of_one_name_are_an_error(install):
    install(min(discover("readers")))

    with pytest.raises(ValueError, match="share a name"):
        discover("readers")


@pytest.mark.parametrize("family", ["readers", "hypotheses", "schedules", "models"])
def test_a_plug_in_bears_the_name_it_is_found_by(family):
    found = discover(family)

    assert found
    assert all(plugin.name == name for name, plugin in found.items())


def test_a_family_whose_part_is_not_installed_has_third_parties_only(monkeypatch):
    monkeypatch.setitem(FAMILIES, "models", ("unplateau.absent.models", "MODEL"))

    assert discover("models") == {}
