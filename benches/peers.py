#!/usr/bin/env python3
"""Soundpost beside PulseAudio and PipeWire: what a playing application costs the server, and what resampling does to it.

  benches/peers.py [--servers soundpost,pulseaudio,pipewire] [--streams 50] [--seconds 10] [--soundpost PATH]

Starts each server by itself, in a folder of its own, with a device of 48 kHz float samples that nobody hears. Then:

1. Load: STREAMS clients (Debian's `pacat`, 44.1 kHz, 16 bit, stereo, --latency-msec=20) play noise; 2 s and a 50th of a second
   for each of them later, the processor time of the server's processes is read from /proc, and SECONDS later again. Time in
   the kernel is part of it, the clients' own is not.
2. Quality: a float sine of 1, 10, 15 and 19 kHz at half of full scale, 44.1 kHz, recorded as float at 48 kHz from the device's
   monitor. The second second is fitted by least squares (sine, cosine, constant); what is left is noise. The level is
   that of the fit beside what was played.

Prints one line of JSON for each server. Needs numpy, pulseaudio-utils, and the servers (pulseaudio; pipewire, pipewire-pulse,
wireplumber and dbus-daemon). Run it on a machine with nothing else to do: the ratios of one run say more than its times.
"""
import argparse, json, os, pathlib, random, shutil, subprocess, sys, tempfile, time

import numpy as np

TICK = os.sysconf("SC_CLK_TCK")
QUIET = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}


class Server:
    """A running server. The first of its processes is the one that clients talk to."""

    def __init__(self, kind, soundpost):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="peers."))
        kept = {key: os.environ[key] for key in ("PATH", "LANG") if key in os.environ}
        self.environment = {**kept, "HOME": str(self.folder), "XDG_RUNTIME_DIR": str(self.folder)}
        self.processes, self.sink, socket = [], "peer", self.folder / "pulse" / "native"
        if kind == "soundpost":
            self.sink = "soundpost"
            render, state = self.folder / "out.wav", self.folder / "state"
            self.start(soundpost, "serve", "--rdp", "off", "--render", render, "--state-dir", state, "--log", "warn")
        elif kind == "pulseaudio":
            socket = self.folder / "native"
            self.start("pulseaudio", "-n", "--daemonize=no", "--exit-idle-time=-1", "--use-pid-file=no",
                       "-L", "module-null-sink sink_name=peer rate=48000 format=float32le",
                       "-L", f"module-native-protocol-unix socket={socket} auth-anonymous=1")
        else:
            self.environment["DBUS_SESSION_BUS_ADDRESS"] = f"unix:path={self.folder}/bus"
            self.start("dbus-daemon", "--session", "--nofork", f"--address=unix:path={self.folder}/bus")
            self.wait_for(self.folder / "bus")
            self.start("pipewire")
            self.wait_for(self.folder / "pipewire-0")
            self.start("wireplumber")
            self.start("pipewire-pulse")
        self.wait_for(socket)
        self.address = f"unix:{socket}"
        time.sleep(2)
        if kind == "pipewire":
            self.client("pactl", "load-module", "module-null-sink", "sink_name=peer", "rate=48000")
            self.client("pactl", "set-default-sink", "peer")

    def start(self, *command):
        self.processes.append(subprocess.Popen([str(word) for word in command], env=self.environment, **QUIET))

    @staticmethod
    def wait_for(path):
        until = time.monotonic() + 20
        while not path.exists():
            if time.monotonic() > until:
                sys.exit(f"peers: {path} has not come: is the server installed, and does it start?")
            time.sleep(0.05)

    def client(self, *command):
        return subprocess.run(command, env={**self.environment, "PULSE_SERVER": self.address}, check=True, **QUIET)

    def popen(self, *command, stdout=subprocess.DEVNULL):
        environment = {**self.environment, "PULSE_SERVER": self.address}
        return subprocess.Popen(command, env=environment, stdout=stdout, stderr=subprocess.DEVNULL)

    def processor_seconds(self):
        total = 0
        for process in self.processes:
            fields = open(f"/proc/{process.pid}/stat").read().rsplit(") ", 1)[1].split()
            total += (int(fields[11]) + int(fields[12])) / TICK
        return total

    def memory_kib(self):
        lines = (line for process in self.processes for line in open(f"/proc/{process.pid}/status"))
        return sum(int(line.split()[1]) for line in lines if line.startswith("VmRSS"))

    def end(self):
        for process in reversed(self.processes):
            process.terminate()
            process.wait()
        shutil.rmtree(self.folder, ignore_errors=True)


def load(server, streams, seconds):
    with tempfile.NamedTemporaryFile(suffix=".raw") as noise:
        noise.write(random.Random(1).randbytes(1 << 20) * int(44_100 * 4 * (seconds + streams / 50 + 30) / (1 << 20) + 1))
        noise.flush()
        before = server.memory_kib()
        clients = [server.popen("pacat", "--playback", "--raw", "--rate=44100", "--format=s16le", "--channels=2",
                                "--latency-msec=20", "--volume=6000", noise.name) for _ in range(streams)]
        try:
            time.sleep(2 + streams / 50)
            start, used = time.monotonic(), server.processor_seconds()
            time.sleep(seconds)
            used, passed = server.processor_seconds() - used, time.monotonic() - start
            memory, dead = server.memory_kib(), sum(client.poll() is not None for client in clients)
        finally:
            for client in clients:
                client.kill()
                client.wait()
    time.sleep(1)
    return {"ms_per_stream_second": round(1e3 * used / passed / streams, 3), "dead": dead,
            "kib_per_stream": round((memory - before) / streams, 1)}


def quality(server, hertz):
    place = np.arange(44_100 * 5 // 2) / 44_100
    sine = (0.5 * np.sin(2 * np.pi * hertz * place)).astype(np.float32)
    shape = ["--raw", "--format=float32le", "--channels=2"]
    with tempfile.NamedTemporaryFile(suffix=".raw") as played, tempfile.NamedTemporaryFile(suffix=".raw") as recorded:
        played.write(np.stack([sine, sine], 1).tobytes())
        played.flush()
        ear = server.popen("parec", f"--device={server.sink}.monitor", "--rate=48000", "--latency-msec=50", *shape,
                           stdout=recorded)
        # PipeWire takes its time until a new client has sound.
        time.sleep(3)
        server.client("pacat", "--playback", f"--device={server.sink}", "--rate=44100", *shape, played.name)
        time.sleep(0.7)
        ear.terminate()
        ear.wait()
        heard = pathlib.Path(recorded.name).read_bytes()
    left = np.frombuffer(heard[: len(heard) // 8 * 8], np.float32)[::2].astype(float)
    begin = np.flatnonzero(np.abs(left) > 0.05)
    if len(begin) == 0 or len(left) < begin[0] + 96_000:
        return {"hertz": hertz, "heard": False}
    left = left[begin[0] + 48_000 : begin[0] + 96_000]
    angle = 2 * np.pi * hertz * np.arange(len(left)) / 48_000
    parts = np.stack([np.sin(angle), np.cos(angle), np.ones(len(left))], 1)
    fit = np.linalg.lstsq(parts, left, rcond=None)[0]
    level, rest = np.hypot(fit[0], fit[1]), left - parts @ fit
    return {"hertz": hertz, "snr_db": round(10 * np.log10(level**2 / 2 / np.mean(rest**2)), 1),
            "level_db": round(20 * np.log10(level / 0.5), 3)}


def main():
    known = ["soundpost", "pulseaudio", "pipewire"]
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--servers", default=",".join(known))
    # PulseAudio and PipeWire take 64 clients.
    parser.add_argument("--streams", type=int, default=50)
    parser.add_argument("--seconds", type=float, default=10)
    parser.add_argument("--soundpost", default="target/release/soundpost")
    arguments = parser.parse_args()
    for kind in arguments.servers.split(","):
        if kind not in known:
            parser.error(f"unknown server {kind}: there are {', '.join(known)}")
        server = Server(kind, arguments.soundpost)
        try:
            cost = load(server, arguments.streams, arguments.seconds)
            sines = [quality(server, hertz) for hertz in (1_000, 10_000, 15_000, 19_000)]
        finally:
            server.end()
        print(json.dumps({"server": kind, "streams": arguments.streams, **cost, "sines": sines}), flush=True)


main()
