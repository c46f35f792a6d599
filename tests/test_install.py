"""The wheel: what is in it, and that it runs from a folder with other people's modules."""

import os
import subprocess
import sys
import sysconfig
import venv
import zipfile
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import pytest
from conftest import ROOT
from footage import make_clip, make_plate

PACKAGES = ("cli", "dataset", "media", "model", "pipeline", "plate", "writers")


def run(*command: object, **options) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*map(str, command)], capture_output=True, text=True, **options)


def has_new_setuptools() -> bool:
    try:
        return int(version("setuptools").split(".")[0]) >= 77
    except PackageNotFoundError:
        return False


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built from a copy of the files that git would hand out."""
    source, target = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("wheel")
    for name in ("inference_video.py", "pyproject.toml", "README.md", "LICENSE", *PACKAGES):
        for file in [ROOT / name] if (ROOT / name).is_file() else (ROOT / name).rglob("*"):
            if file.is_file() and "__pycache__" not in file.parts:
                copy = source / file.relative_to(ROOT)
                copy.parent.mkdir(parents=True, exist_ok=True)
                copy.write_bytes(file.read_bytes())
    isolation = ["--no-build-isolation"] if has_new_setuptools() else []
    build = ["wheel", "--no-deps", *isolation, "--wheel-dir", target, source]
    result = run(sys.executable, "-m", "pip", *build)
    if "No matching distribution found for setuptools" in result.stdout + result.stderr:
        pytest.skip("setuptools 77 is neither installed nor to be had")
    assert result.returncode == 0, result.stderr
    (built,) = target.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of an environment's programs, where the wheel is installed beside what we have."""
    home = tmp_path_factory.mktemp("environment")
    venv.create(home, system_site_packages=True, symlinks=True)
    paths = {"base": str(home), "platbase": str(home)}
    site, scripts = (Path(sysconfig.get_path(name, vars=paths)) for name in ("purelib", "scripts"))
    (site / "ours.pth").write_text(sysconfig.get_path("purelib") + "\n")
    install = ["install", "--no-deps", "--no-index", "--ignore-installed", wheel]
    result = run(scripts / "python", "-m", "pip", *install)
    assert result.returncode == 0, result.stderr
    return scripts


def test_the_wheel_holds_the_program_and_nothing_else(wheel):
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
        (entry_points,) = [name for name in names if name.endswith("entry_points.txt")]
        text = archive.read(entry_points).decode()
    assert "inference-video = inference_video:main" in text
    top = {name.split("/")[0] for name in names if ".dist-info/" not in name}
    assert top == {"inference_video.py", *PACKAGES}
    here = {
        str(file.relative_to(ROOT))
        for package in PACKAGES
        for file in (ROOT / package).rglob("*.py")
    }
    assert here <= set(names)
    assert not [name for name in names if "test" in name]


def test_the_console_script_runs_beside_an_alien_package(installed, tmp_path, checkpoint):
    (tmp_path / "model").mkdir()
    for alien in ("model/__init__.py", "dataset.py", "writers.py"):
        (tmp_path / alien).write_text("raise ImportError('this is someone else\\'s module')\n")
    make_clip(tmp_path / "clip.mp4", 2)
    make_plate(tmp_path / "plate.png")
    program = installed / "inference-video"
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    result = run(program, "--version", cwd=tmp_path, env=environment)
    assert (result.returncode, result.stderr) == (0, "")
    assert result.stdout.startswith("bgmv2 ")
    job = f"""
        --video-src clip.mp4 --video-bgr plate.png --output-dir out --device cpu
        --output-format image_sequences --model-checkpoint {checkpoint}
    """.split()
    result = run(program, *job, cwd=tmp_path, env=environment)
    assert result.returncode == 0, result.stderr
    assert sorted(path.name for path in (tmp_path / "out/com").iterdir()) == [
        "00000.png",
        "00001.png",
    ]


def test_importing_does_nothing(installed, tmp_path):
    """No file, no output, no device touched."""
    code = (
        "import inference_video as program, torch;"
        "print(program.__file__, torch.cuda.is_initialized())"
    )
    result = run(installed / "python", "-I", "-c", code, cwd=tmp_path)
    file, initialized = result.stdout.split()
    assert (result.stderr, initialized) == ("", "False")
    assert Path(file).parent != ROOT
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("alien", ["model.py", "media.py", "plate/__init__.py", "writers/x.py"])
def test_a_module_that_hides_ours_is_named(tmp_path, alien):
    """A script beside somebody's own model.py."""
    (tmp_path / alien).parent.mkdir(exist_ok=True)
    (tmp_path / alien).touch()
    (tmp_path / "script.py").write_text("import inference_video\n")
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    result = run(sys.executable, tmp_path / "script.py", env=environment)
    room = alien.split("/")[0].removesuffix(".py")
    if alien == "writers/x.py":  # a folder that is no package comes last
        assert result.returncode == 0, result.stderr
        return
    assert result.returncode == 1
    last = result.stderr.splitlines()[-1]
    assert last.startswith(f"ImportError: {tmp_path / alien} hides the package {room!r}")


def test_a_module_that_was_imported_before_ours_is_named(tmp_path):
    (tmp_path / "dataset.py").touch()
    code = f"import sys; sys.path.insert(0, {str(tmp_path)!r}); import dataset; sys.path.pop(0);"
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    result = run(sys.executable, "-c", code + "import inference_video", env=environment)
    assert f"{tmp_path / 'dataset.py'} hides the package 'dataset'" in result.stderr


def test_a_run_does_not_wait_for_what_it_does_not_use(tmp_path, checkpoint):
    """Each of these takes a second or two to import, and PyTorch brings some of them on the sly."""
    make_clip(tmp_path / "clip.mp4", 1)
    make_plate(tmp_path / "plate.png")
    job = f"""
        --video-src clip.mp4 --video-bgr plate.png --output-dir out --device cpu
        --model-checkpoint {checkpoint}
    """.split()
    code = (
        f"import sys, inference_video; inference_video.main({job});"
        "print(*{'kornia', 'sympy', 'torch._dynamo', 'torchvision'} & {*sys.modules})"
    )
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    result = run(sys.executable, "-c", code, cwd=tmp_path, env=environment)
    assert result.stdout.strip() == "" and (tmp_path / "out/com.mp4").exists(), result.stderr
