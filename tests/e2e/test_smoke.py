"""The command is there and says what it is."""
from conftest import countersign


def test_without_a_command_it_shows_the_commands_and_exits_2():
    assert countersign().returncode == 2


def test_an_unknown_command_exits_2_and_is_named():
    done = countersign("frobnicate", check=2)
    assert "frobnicate" in done.stderr
