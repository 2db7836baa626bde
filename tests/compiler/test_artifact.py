"""Artifacts: the same bytes for the same program, everything comes back, and no file whatever does harm."""

import hashlib
import json
import os
import struct
import subprocess
import sys
import textwrap
import zipfile
import zlib
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from safetensors.numpy import load as load_tensors
from safetensors.numpy import save as save_tensors

from ranvier.compiler import archive, artifact
from ranvier.compiler.diagnostics import Figure, RanvierError
from ranvier.compiler.ir.arrays import integers
from ranvier.compiler.ir.chip import ChipNetwork, Connection, DenseSynapse, Population, Port
from ranvier.compiler.ir.linear import Dense
from ranvier.compiler.ir.network import Edge, Input, Network, Neurons, Note, Readout
from ranvier.compiler.ir.neurons import Lif
from ranvier.compiler.ir.program import CoreSite, Piece, Placement, Program
from ranvier.compiler.ir.programs import Features, chip_lif
from ranvier.compiler.ir.text import equal
from support.networks import chip_networks

PROVENANCE: dict[str, Figure] = {
    "source": "tiny.nir",
    "weights": 12,
    "rate": 0.25,
    "exact": True,
    "preset": None,
}


def placed(chip: ChipNetwork, source: Network | None = None) -> Program:
    """``chip`` with every population on a core of its own."""
    pieces = tuple(Piece(p.name, 0, p.size, core, {"neurons": p.size}) for core, p in enumerate(chip.populations))
    sites = tuple(CoreSite(core, 0, core, -1) for core in range(len(pieces)))
    return Program(chip, Placement(pieces, sites), "loihi2", source)


def tiny() -> Program:
    """Three inputs, four neurons, and the float network they came from."""
    weight = np.arange(-6, 6, dtype=np.int32).reshape(4, 3) * 2
    params = {
        "du": integers(4095),
        "dv": integers([1, 2, 3, 4096]),
        "vth": integers(10),
        "bias": integers(0),
    }
    program = chip_lif(Features())
    initial = {state.name: integers(0) for state in program.states}
    population = Population("out", (4,), program, params, initial, 1)
    connection = Connection("fc", "input", "out", DenseSynapse(weight), 2, "mixed", 0)
    notes = (Note("RV001", "out", 'the "reset" was assumed\nand é too'),)
    chip = ChipNetwork("tiny", "loihi2", (Port("input", (3,)),), (population,), (connection,), Readout("out"), notes)
    nodes = (Input("input", (3,), "spikes"), Dense("fc", weight / 64), Neurons("out", (4,), Lif()))
    return placed(chip, Network("tiny", nodes, (Edge("input", "fc"), Edge("fc", "out")), Readout("out")))


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    path = tmp_path / "tiny.rnv"
    artifact.save(tiny(), path, provenance=PROVENANCE, target_sha256="ab" * 32)
    return path


@given(chip_networks())
def test_every_program_comes_back_and_is_written_the_same(
    tmp_path_factory: pytest.TempPathFactory, chip: ChipNetwork
) -> None:
    folder = tmp_path_factory.mktemp("artifact")
    program = placed(chip)
    artifact.save(program, folder / "a.rnv")
    artifact.save(program, folder / "b.rnv")
    back = artifact.load(folder / "a.rnv")
    assert equal(back, program)
    artifact.save(back, folder / "c.rnv")
    first = (folder / "a.rnv").read_bytes()
    assert first == (folder / "b.rnv").read_bytes() == (folder / "c.rnv").read_bytes()


def test_provenance_and_source_come_back(saved: Path, tmp_path: Path) -> None:
    found = artifact.read(saved)
    assert equal(found.program, tiny())
    assert found.provenance == PROVENANCE
    assert found.target_sha256 == "ab" * 32
    artifact.save(found.program, tmp_path / "again.rnv", provenance=found.provenance, target_sha256=found.target_sha256)
    assert (tmp_path / "again.rnv").read_bytes() == saved.read_bytes()


def test_bytes_do_not_depend_on_the_process(saved: Path, tmp_path: Path) -> None:
    program = f"from ranvier.compiler import artifact as a; p = a.load({str(saved)!r}); a.save(p, 'out.rnv')"
    hashes = set()
    for seed in ("1", "2"):
        subprocess.run(
            [sys.executable, "-c", program],
            cwd=tmp_path,
            check=True,
            timeout=60,
            env=os.environ | {"PYTHONHASHSEED": seed},
        )
        hashes.add(hashlib.sha256((tmp_path / "out.rnv").read_bytes()).hexdigest())
    assert len(hashes) == 1


def test_other_tools_read_it(saved: Path) -> None:
    with zipfile.ZipFile(saved) as archive:
        assert archive.testzip() is None
        assert archive.namelist() == ["manifest.json", "tensors.safetensors"]
        assert {i.date_time for i in archive.infolist()} == {(1980, 1, 1, 0, 0, 0)}
        manifest = json.loads(archive.read("manifest.json"))
        data = archive.read("tensors.safetensors")
    assert manifest["sha256"]["tensors.safetensors"] == hashlib.sha256(data).hexdigest()
    assert manifest["target"] == {"name": "loihi2", "sha256": "ab" * 32}
    (weight,) = (array for array in load_tensors(data).values() if array.dtype == np.int32)
    assert np.array_equal(weight, np.arange(-6, 6).reshape(4, 3) * 2)


@pytest.mark.parametrize(("levels", "bits"), [((-128, 128), 1), ((-128, 0, 128), 2), (tuple(range(-128, 128, 2)), 32)])
def test_weights_of_few_levels_are_stored_in_few_bits(tmp_path: Path, levels: tuple[int, ...], bits: int) -> None:
    weight = np.random.default_rng(0).choice(np.array(levels, np.int32), (256, 128))
    chip = tiny().chip
    wide = replace(chip.populations[0], shape=(256,), params={**chip.populations[0].params, "dv": integers(7)})
    synapse = replace(chip.connections[0], synapse=DenseSynapse(weight))
    program = placed(replace(chip, ports=(Port("input", (128,)),), populations=(wide,), connections=(synapse,)))
    artifact.save(program, tmp_path / "wide.rnv")
    assert equal(artifact.load(tmp_path / "wide.rnv"), program)
    assert 0 <= (tmp_path / "wide.rnv").stat().st_size - weight.size * bits / 8 < 6000


def test_an_interrupted_save_leaves_the_old_file(saved: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = saved.read_bytes()

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "replace", full)
    with pytest.raises(RanvierError, match=r"RV409.*No space left"):
        artifact.save(tiny(), saved)
    assert saved.read_bytes() == before
    assert list(saved.parent.iterdir()) == [saved]


def refusal(path: Path) -> str:
    """The code with which ``path`` is refused."""
    with pytest.raises(RanvierError) as refused:
        artifact.read(path)
    (diagnostic,) = refused.value.diagnostics[:1]
    assert diagnostic.message
    assert diagnostic.fix
    return diagnostic.code


def rewritten(path: Path, manifest: bytes, data: bytes) -> Path:
    """An archive with correct framing around any content."""
    sizes = [(archive.MANIFEST, manifest), (archive.TENSORS, data)]
    first, second, tail = archive.framing(*(archive.Entry(n, zlib.crc32(b), len(b)) for n, b in sizes))
    path.write_bytes(first + manifest + second + data + tail)
    return path


def entries(path: Path) -> tuple[dict[str, Any], bytes]:
    with zipfile.ZipFile(path) as archive:
        return json.loads(archive.read("manifest.json")), archive.read("tensors.safetensors")


def signed(path: Path, change: Callable[[dict[str, Any]], object], data: bytes | None = None) -> Path:
    """The artifact with a changed manifest or tensors, and with all hashes correct."""
    values, old = entries(path)
    data = old if data is None else data
    values["sha256"] = {archive.MANIFEST: "", archive.TENSORS: hashlib.sha256(data).hexdigest()}
    change(values)
    if isinstance(values.get("sha256"), dict):
        values["sha256"][archive.MANIFEST] = hashlib.sha256(artifact._canonical(values)).hexdigest()
    return rewritten(path, artifact._canonical(values), data)


def test_an_unchanged_signed_copy_is_accepted(saved: Path) -> None:
    assert equal(artifact.load(signed(saved, lambda _: None)), tiny())


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("exponent=2", "exponent=99"),
        ('source="input"', 'source="nobody"'),
        ("shape=(4,)", "shape=(5,)"),
        ("shape=(4,)", "shape=(4, 1000000000, 1000000000)"),
        ("shape=(3,)", "shape=(0,)"),
        ("stop=4", "stop=3"),
        ("start=0", "start=1"),
        ("core=0, use", "core=7, use"),
        ('kind="wrap"', 'kind="import_os"'),
        ("latency=1", "latency=0"),
        ('"t0"', '"t0 if print(1) else t0"'),
        ('semantics="loihi.cuba_lif"', 'semantics="x; import os"'),
        ('semantics="loihi.cuba_lif"', 'semantics="\\n"'),
        ("Program(", "Readout("),
        ('target="loihi2"', "target=2"),
        ("ChipNetwork(", "open("),
        ('Readout(node="out"', 'Readout(node="elsewhere"'),
        ("vth", "vht"),
    ],
)
def test_a_wrong_program_with_right_hashes_is_refused(saved: Path, before: str, after: str) -> None:
    assert before in entries(saved)[0]["ir"]
    assert refusal(signed(saved, lambda v: v.update(ir=v["ir"].replace(before, after)))).startswith("RV")


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"format": 2}, "RV406"),
        ({"ir": 3}, "RV405"),
        ({"ir": 'Piece(population="a", start=0, stop=1, core=0, use={})'}, "RV408"),
        ({"target": []}, "RV405"),
        ({"target": {"name": "a", "sha256": "", "files": {}}}, "RV405"),
        ({"target": {"name": "a", "sha256": "", "files": [["a.toml"]]}}, "RV405"),
        ({"target": {"name": "a", "sha256": "", "files": [["a.toml", 1]]}}, "RV405"),
        ({"target": {"name": "a", "sha256": "", "files": [["a" * 300, ""]]}}, "RV405"),
        ({"provenance": {"a": {}}}, "RV405"),
        ({"sha256": []}, "RV405"),
        ({"ir": "(" * 5000}, "RV301"),
    ],
)
def test_a_wrong_manifest_is_refused(saved: Path, change: Mapping[str, object], code: str) -> None:
    assert refusal(signed(saved, lambda v: v.update(change))) == code


@pytest.mark.parametrize("text", [b"", b"[" * 100_000, b"\xff\xfe", b"[]", b"null", b'{"sha256": {}}'])
def test_a_manifest_that_is_none_is_refused(saved: Path, text: bytes) -> None:
    assert refusal(rewritten(saved, text, entries(saved)[1])) == "RV405"


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\xff" * 8,
        struct.pack("<Q", 2) + b"{}",
        struct.pack("<Q", 4) + b"nope",
        struct.pack("<Q", 10**7) + b" " * 10**7,
    ],
)
def test_wrong_tensors_with_right_hashes_are_refused(saved: Path, data: bytes) -> None:
    assert refusal(signed(saved, lambda _: None, data)) in {"RV407", "RV301"}


def test_arrays_that_nothing_uses_are_refused(saved: Path) -> None:
    data = save_tensors(load_tensors(entries(saved)[1]) | {"stowaway": np.zeros(9)})
    assert refusal(signed(saved, lambda _: None, data)) == "RV408"


def test_a_changed_manifest_without_its_hash_is_refused(saved: Path) -> None:
    values, data = entries(saved)
    values["ir"] = values["ir"].replace("exponent=2", "exponent=3")
    assert refusal(rewritten(saved, artifact._canonical(values), data)) == "RV404"


def test_the_same_content_written_otherwise_is_refused(saved: Path) -> None:
    values, data = entries(saved)
    assert refusal(rewritten(saved, json.dumps(values).encode(), data)) == "RV404"


def _compressed(path: Path) -> None:
    _repack(path, [("manifest.json", 0), ("tensors.safetensors", 1)], zipfile.ZIP_DEFLATED)


def _repack(path: Path, order: list[tuple[str, int]], method: int = zipfile.ZIP_STORED) -> None:
    values, data = entries(path)
    contents = [artifact._canonical(values), data, b"more"]
    with zipfile.ZipFile(path, "w", method) as archive:
        for name, which in order:
            archive.writestr(zipfile.ZipInfo(name), contents[which], method)


@pytest.mark.filterwarnings("ignore:Duplicate name")
@pytest.mark.parametrize(
    "order",
    [
        [("manifest.json", 0)],
        [("tensors.safetensors", 1), ("manifest.json", 0)],
        [("manifest.json", 0), ("tensors.safetensors", 1), ("more", 2)],
        [("manifest.json", 0), ("tensors.safetensors", 1), ("manifest.json", 0)],
        [("manifest.json", 0), ("../tensors.safetensors", 1)],
        [("/manifest.json", 0), ("tensors.safetensors", 1)],
    ],
)
def test_other_archives_are_refused(saved: Path, order: list[tuple[str, int]]) -> None:
    _repack(saved, order)
    assert refusal(saved) == "RV403"


def test_a_compressed_archive_is_refused(saved: Path) -> None:
    _compressed(saved)
    assert refusal(saved) == "RV403"


def test_things_that_are_no_files_are_refused(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path, tmp_path / "absent", tmp_path / "pipe", Path("/dev/zero")):
        assert refusal(path) == "RV401"
    with pytest.raises(RanvierError, match="RV409"):
        artifact.save(tiny(), tmp_path / "absent" / "x.rnv")


def test_declared_sizes_are_limited_before_reading(saved: Path) -> None:
    raw = bytearray(saved.read_bytes())
    raw[18:26] = struct.pack("<LL", 2**32 - 2, 2**32 - 2)
    saved.write_bytes(raw)
    assert refusal(saved) == "RV402"


FUZZ = """
    import json, resource, sys, time
    resource.setrlimit(resource.RLIMIT_CPU, (60, 60))
    from ranvier.compiler import archive, artifact
    from ranvier.compiler.diagnostics import Figure, RanvierError
    artifact.load(sys.argv[1])
    slowest, accepted = 0.0, []
    for path in sys.argv[2:]:
        start = time.process_time()
        try:
            artifact.load(path)
            accepted.append(path)
        except RanvierError as refused:
            assert refused.diagnostics[0].fix
        slowest = max(slowest, time.process_time() - start)
    # Not ru_maxrss, which starts with what the parent process held.
    peak = next(line for line in open("/proc/self/status") if line.startswith("VmHWM"))
    print(json.dumps([slowest, int(peak.split()[1]) / 1024, accepted]))
"""


@given(st.integers(0, 2**32 - 1))
def test_every_flipped_bit_is_found(tmp_path_factory: pytest.TempPathFactory, seed: int) -> None:
    path = tmp_path_factory.mktemp("flip") / "tiny.rnv"
    artifact.save(tiny(), path)
    raw, rng = path.read_bytes(), np.random.default_rng(seed)
    for _ in range(40):
        changed = bytearray(raw)
        changed[rng.integers(len(raw))] ^= 1 << int(rng.integers(8))
        path.write_bytes(changed)
        refusal(path)


def test_damaged_files_cost_little_time_and_memory(saved: Path, tmp_path: Path) -> None:
    raw, rng = saved.read_bytes(), np.random.default_rng(1)
    corpus = [raw[:n] for n in rng.integers(0, len(raw), 40)]
    corpus += [raw + bytes(n) for n in (1, 22, 1000)] + [
        b"",
        bytes(100),
        rng.bytes(5000),
        b"PK\x03\x04" + rng.bytes(5000),
    ]
    for _ in range(60):
        changed = bytearray(raw)
        changed[rng.integers(len(raw))] ^= 1 << int(rng.integers(8))
        corpus.append(bytes(changed))
    paths = [tmp_path / f"{number}.rnv" for number in range(len(corpus))]
    for path, content in zip(paths, corpus, strict=True):
        path.write_bytes(content)
    for number, size in enumerate((2**31, 2**40)):
        paths.append(tmp_path / f"large{number}.rnv")
        paths[-1].write_bytes(raw)
        os.truncate(paths[-1], size)
    command = [sys.executable, "-c", textwrap.dedent(FUZZ), str(saved), *map(str, paths)]
    done = subprocess.run(command, check=True, capture_output=True, timeout=120)
    slowest, megabytes, accepted = json.loads(done.stdout)
    assert not accepted
    assert slowest < 1
    assert megabytes < 200
