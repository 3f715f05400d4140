"""The process: whom it lets in, how it starts, stops, and what it never does."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from serve.conftest import HEARD
from serve.running import Process, ask, running
from siftrec.cli.main import run as command

TOKEN = "0123456789abcdef-token"


def refused(capsys: pytest.CaptureFixture[str], code: int, *arguments: object) -> str:
    assert command(["serve", *map(str, arguments)]) == code
    out, err = capsys.readouterr()
    assert out == ""
    assert err.count("\n") == 1
    return err


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.2", "example.org"])
def test_others_are_not_let_in_without_a_token(
    run: Path, host: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("SIFTREC_TOKEN", raising=False)
    assert "--token-file" in refused(capsys, 2, run, "--host", host)
    assert not (run / "service.sqlite").exists()


@pytest.mark.parametrize("token", ["", "short", "with space in between it", "ünicode-ünicode-ünicode"])
def test_a_poor_token_is_refused(
    run: Path, token: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (run / "token").write_text(token)
    told = refused(capsys, 2, run, "--token-file", run / "token")
    assert not token or token not in told
    monkeypatch.setenv("SIFTREC_TOKEN", token)
    refused(capsys, 2, run)


def test_without_the_extra_it_names_the_command_that_installs_it(
    run: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in [name for name in sys.modules if name.split(".")[0] == "fastapi" or name.startswith("siftrec.serve")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "fastapi", None)
    assert "pip install 'siftrec[serve]'" in refused(capsys, 6, run)


def test_a_taken_port_and_a_folder_without_a_model_are_one_line(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "empty").mkdir()
    assert "manifest.json" in refused(capsys, 4, tmp_path / "empty")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        assert "already in use" in refused(capsys, 6, run, "--port", taken.getsockname()[1])


def test_nothing_goes_out_and_nothing_named_by_a_client_is_opened(process: Process, process_run: Path) -> None:
    """Every kind of request, with URLs and paths where ids belong; what other tests asked before counts too."""
    run = process_run
    (run / "clients-file").write_text("secret")
    hostile = [
        str(run / "clients-file"),
        "http://127.0.0.1:9/clients-file",
        "file:///clients-file",
        "\\\\host\\clients-file",
    ]
    connection = process.connect()
    for each in hostile:
        for path, body in (
            ("/v1/recommend", {"history": [each], "exclude": [each], "only": [each], "explain": True}),
            ("/v1/similar", {"item": each}),
            ("/v1/items", {"items": [{"item": each, "title": each, "content": {"text": [1.0] * 6}}]}),
            ("/v1/feedback", {"events": [{"user": each, "item": each}]}),
            (f"/v1/search?q={each.replace(chr(92), '')}", None),
            (f"/static/../../../../../../{run}/clients-file", None),
            (f"/static/..%2f..%2f..%2f..%2f..%2f..{run}/clients-file", None),
        ):
            status, _ = ask(connection, path, body)
            assert status < 500
    for path in ("/", "/v1/model", "/metrics", "/health/ready", "/openapi.json", "/static/app.js"):
        assert ask(connection, path)[0] == 200
    connection.close()
    assert (run / HEARD).read_text() == ""


def test_sigterm_answers_what_was_asked_and_the_token_is_never_said(run: Path) -> None:
    statuses: list[int] = []

    def client() -> None:
        connection = process.connect()
        right = {"Authorization": f"Bearer {TOKEN}"}
        try:
            while True:
                statuses.append(ask(connection, "/v1/recommend", {"history": ["v01"]}, right)[0])
        except OSError:
            return
        finally:
            connection.close()

    (run / "artifact").rename(
        run / "mine"
    )  # an artifact by itself; its store lies beside it, or it could not be replaced
    with running(run / "mine", "--host", "0.0.0.0", env={"SIFTREC_TOKEN": TOKEN}) as process:
        process.address = process.address.replace("0.0.0.0", "127.0.0.1")
        connection = process.connect()
        assert ask(connection, "/v1/model")[0] == 401
        connection.close()
        asking = threading.Thread(target=client)
        asking.start()
        while len(statuses) < 20:
            assert asking.is_alive()
        code, said = process.end()
        asking.join(20)
    assert set(statuses) == {200}
    assert code == -signal.SIGTERM  # 143 in a shell
    assert said == ""
    assert TOKEN not in process.said
    assert {"mine", "mine.service.sqlite"} <= {each.name for each in run.iterdir()}
    assert not (run / "mine" / "service.sqlite").exists()


def test_help_stays_quick() -> None:
    """The service's libraries are not imported for it."""
    code = "import sys; from siftrec.cli.main import run; run(['serve', '--help']); print('fastapi' in sys.modules)"
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert said.splitlines()[-1] == "False"
