"""Reading `jts.toml` and the environment."""

from pathlib import Path

import msgspec
import pytest

from jts_trading.config.source import ConfigError, child_environment, read, variable


class Inner(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A nested table of the test section."""

    depth: int = 1


class Sample(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A section of the test."""

    needed: int
    name: str = "plain"
    inner: Inner = Inner()


def _file(tmp_path: Path, text: str) -> Path:
    file = tmp_path / "jts.toml"
    file.write_text(text, encoding="utf-8")
    return file


def test_load_when_the_environment_overrides_the_file_then_its_value_wins(tmp_path: Path) -> None:
    """A variable replaces one key and leaves the others of the file."""
    file = _file(tmp_path, '[sample]\nneeded = 1\nname = "from file"\n')
    environ = {"JTS_SAMPLE__NEEDED": "7", "JTS_SAMPLE__INNER__DEPTH": "3"}
    sample = read(environ, file).load(Sample, "sample")
    assert sample == Sample(needed=7, name="from file", inner=Inner(depth=3))


def test_load_when_a_key_is_unknown_then_the_nearest_and_the_file_are_named(
    tmp_path: Path,
) -> None:
    """A misspelt key is refused; the error says where it stands and what was meant."""
    file = _file(tmp_path, "[sample]\nneedd = 1\n")
    with pytest.raises(ConfigError) as refused:
        read({}, file).load(Sample, "sample")
    assert str(refused.value).startswith(f"{file}: unknown key sample.needd; did you mean needed?")


def test_load_when_a_key_is_missing_then_it_is_named(tmp_path: Path) -> None:
    """A needed key without a value names itself."""
    with pytest.raises(ConfigError, match="missing required field `needed`"):
        read({}, _file(tmp_path, "[sample]\n")).load(Sample, "sample")


@pytest.mark.parametrize("text", ["needed = 'seven'", "needed = 1.5", "needed = [1]"])
def test_load_when_a_type_is_wrong_then_key_and_type_are_named(tmp_path: Path, text: str) -> None:
    """A value of another type is refused by its key."""
    file = _file(tmp_path, f"[sample]\n{text}\n")
    with pytest.raises(ConfigError, match=r"sample\.needed: Expected `int`"):
        read({}, file).load(Sample, "sample")


def test_load_when_a_variable_has_a_wrong_type_then_the_variable_is_named(tmp_path: Path) -> None:
    """The origin of a bad value is the variable, not the file."""
    file = _file(tmp_path, "[sample]\nneeded = 1\n")
    with pytest.raises(ConfigError, match=r"environment JTS_SAMPLE__NEEDED: sample\.needed"):
        read({"JTS_SAMPLE__NEEDED": "x"}, file).load(Sample, "sample")


def test_require_sections_when_one_is_unknown_then_the_nearest_is_named(tmp_path: Path) -> None:
    """A section that nobody reads is refused."""
    source = read({}, _file(tmp_path, "[instanc]\nhome = '/x'\n"))
    with pytest.raises(ConfigError, match=r"unknown section instanc; did you mean instance\?"):
        source.require_sections(["instance", "hot"])


@pytest.mark.parametrize("name", ["JTS_HOMME", "JTS_X", "JTS___", "JTS_SAMPLE__"])
def test_read_when_a_variable_is_unknown_then_it_is_named(name: str) -> None:
    """A `JTS_` variable that means nothing is refused, not ignored."""
    with pytest.raises(ConfigError, match=f"environment: unknown variable {name}"):
        read({name: "1"})


def test_read_when_a_variable_is_misspelt_then_the_nearest_is_named() -> None:
    """The name that was meant stands in the error."""
    with pytest.raises(ConfigError, match=r"did you mean JTS_HOME\?"):
        read({"JTS_HOMME": "/x"})


def test_read_when_the_named_file_is_missing_then_it_is_an_error(tmp_path: Path) -> None:
    """`JTS_CONFIG` that names nothing is not the same as no configuration."""
    with pytest.raises(
        ConfigError, match=r"gone\.toml: no such configuration file \(JTS_CONFIG\)"
    ):
        read({"JTS_CONFIG": str(tmp_path / "gone.toml")})


@pytest.mark.parametrize(
    ("text", "says"),
    [("[sample\n", "not a TOML file"), ("needed = 1\n", "needed stands outside a section")],
)
def test_read_when_the_file_is_malformed_then_file_and_reason_are_named(
    tmp_path: Path, text: str, says: str
) -> None:
    """A file that cannot be read as sections names itself and why."""
    file = _file(tmp_path, text)
    with pytest.raises(ConfigError, match=says) as refused:
        read({}, file)
    assert str(refused.value).startswith(str(file))


def test_read_when_no_file_is_named_then_the_working_directory_is_looked_at(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`jts.toml` beside the user is read, and its absolute path is known for child processes."""
    file = _file(tmp_path, "[sample]\nneeded = 5\n")
    monkeypatch.chdir(tmp_path)
    source = read({})
    assert source.load(Sample, "sample").needed == 5
    assert source.file == str(file)


def test_variable_when_it_is_a_setting_then_it_is_refused() -> None:
    """Settings are read through their section, so that they are typed and checked."""
    assert variable("JTS_TEST_DATA", {"JTS_TEST_DATA": "/d"}) == "/d"
    with pytest.raises(ConfigError, match="JTS_HOME is not one of"):
        variable("JTS_HOME", {})


def test_child_environment_when_it_overrides_then_the_rest_is_kept() -> None:
    """A child gets the variables of its parent and the replaced ones."""
    given = {"PATH": "/bin", "JTS_HOME": "./var"}
    assert child_environment({"JTS_HOME": "/h"}, given) == {"PATH": "/bin", "JTS_HOME": "/h"}
