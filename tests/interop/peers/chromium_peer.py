"""Headless Chromium behind the JSON Lines of `ice-probe stdio`.

    chromium_peer.py --controlling|--controlled [--no-trickle] [--mdns]
                     [--fingerprint XX:XX:...] [--browser PROGRAM]
                     [--turn URI --user USER --pass PASSWORD]

A page of Chromium's has an RTCPeerConnection with one data channel. This
script drives it through the DevTools protocol and translates: to the page the
other agent is a session description with the candidates that it printed. Who
makes the offer controls, so that a controlled Chromium prints its first line
only when it has the other side's credentials.

Where ICE is connected Chromium starts DTLS. Without --fingerprint it is told
one that no certificate has, and its handshake can only fail; with it
`{"type":"connection","state":...}` shows what becomes of it.

Without --mdns Chromium is asked for its addresses; with it, it names them
`<uuid>.local` and answers for the names by multicast DNS. With --turn it has
relayed candidates alone.

Chromium ends when its DevTools pipe is closed, by whatever ends this script.
"""

import argparse
import asyncio
import itertools
import json
import os
import subprocess
import sys
import tempfile

MAX_LINE = 64 * 1024
MAX_MESSAGE = 4 * 1024 * 1024
# Chromium starts a new check every 48 ms while it has nothing better.
PACING_MS = 50
# For one answer of the browser's, its start included.
PATIENCE = 20
FLAGS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--remote-debugging-pipe",
]
# It has the length of a SHA-256 hash.
NO_FINGERPRINT = ":".join(["00"] * 32)

PAGE = """
const pc = new RTCPeerConnection(configuration);
const say = (event) => tell(JSON.stringify(event));
pc.onicecandidate = ({candidate}) => {
    if (candidate === null) say({event: 'end'});
    else if (candidate.candidate !== '')
        say({event: 'candidate', text: candidate.candidate, ufrag: candidate.usernameFragment});
};
pc.oniceconnectionstatechange = () => say({event: 'ice', state: pc.iceConnectionState});
pc.onconnectionstatechange = () => say({event: 'connection', state: pc.connectionState});
const watch = () => {
    const transport = pc.sctp.transport.iceTransport;
    const selected = () => {
        const pair = transport.getSelectedCandidatePair();
        if (pair)
            say({event: 'selected', local: pair.local.candidate, remote: pair.remote.candidate});
    };
    transport.onselectedcandidatepairchange = selected;
    selected();
};
const offer = async (iceRestart) => {
    if (!pc.sctp) pc.createDataChannel('floe');
    await pc.setLocalDescription(await pc.createOffer({iceRestart}));
    watch();
    return pc.localDescription.sdp;
};
const takeAnswer = (sdp) => pc.setRemoteDescription({type: 'answer', sdp});
const answer = async (sdp) => {
    await pc.setRemoteDescription({type: 'offer', sdp});
    await pc.setLocalDescription(await pc.createAnswer());
    watch();
    return pc.localDescription.sdp;
};
const add = (candidate, usernameFragment) =>
    pc.addIceCandidate({candidate, sdpMid: '0', sdpMLineIndex: 0, usernameFragment});
"""


def emit(kind, **members):
    print(json.dumps({"type": kind, **members}), flush=True)


def arguments():
    parser = argparse.ArgumentParser()
    role = parser.add_mutually_exclusive_group(required=True)
    role.add_argument("--controlling", action="store_true")
    role.add_argument("--controlled", action="store_true")
    parser.add_argument("--no-trickle", action="store_true")
    parser.add_argument("--mdns", action="store_true")
    parser.add_argument("--fingerprint", default=NO_FINGERPRINT)
    parser.add_argument("--browser", default="chromium")
    parser.add_argument("--turn", metavar="URI")
    parser.add_argument("--user")
    parser.add_argument("--pass", dest="password")
    return parser.parse_args()


def configuration(args):
    """The RTCPeerConnection's."""
    if not args.turn:
        return {"iceServers": []}
    server = {"urls": args.turn, "username": args.user, "credential": args.password}
    return {"iceServers": [server], "iceTransportPolicy": "relay"}


class Browser:
    """Chromium, over the two pipes of its DevTools protocol."""

    def __init__(self, args, profile, on_event):
        features = [] if args.mdns else ["--disable-features=WebRtcHideLocalIpsWithMdns"]
        # The browser reads its descriptor 3 and writes 4.
        reserved = [os.open(os.devnull, os.O_RDONLY) for _ in range(4)]
        commands, self.commands = os.pipe()
        self.replies, replies = os.pipe()
        os.dup2(commands, 3)
        os.dup2(replies, 4)
        self.process = subprocess.Popen(
            [args.browser, *FLAGS, *features, f"--user-data-dir={profile}", "about:blank"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            pass_fds=(3, 4),
        )
        for descriptor in {*reserved, commands, replies, 3, 4}:
            os.close(descriptor)
        self.configuration = configuration(args)
        self.on_event = on_event
        self.numbers = itertools.count(1)
        self.waiting = {}
        self.session = None

    async def open_page(self):
        reader = asyncio.StreamReader(limit=MAX_MESSAGE)
        await asyncio.get_running_loop().connect_read_pipe(
            lambda: asyncio.StreamReaderProtocol(reader), os.fdopen(self.replies, "rb")
        )
        self.reading = asyncio.create_task(self.read(reader))
        target = await self.call("Target.createTarget", url="about:blank")
        attached = await self.call("Target.attachToTarget", flatten=True, **target)
        self.session = attached["sessionId"]
        await self.call("Runtime.enable")
        await self.call("Runtime.addBinding", name="tell")
        settings = f"const configuration = {json.dumps(self.configuration)};"
        await self.evaluate(settings + PAGE)

    async def read(self, reader):
        while True:
            try:
                raw = await reader.readuntil(b"\0")
            except asyncio.IncompleteReadError:
                break
            message = json.loads(raw[:-1])
            if message.get("method") == "Runtime.bindingCalled":
                self.on_event(json.loads(message["params"]["payload"]))
            elif "id" in message:
                answered = self.waiting.pop(message["id"], None)
                if answered and not answered.done():
                    answered.set_result(message)
        for answered in self.waiting.values():
            answered.cancel()

    async def call(self, method, **params):
        number = next(self.numbers)
        message = {"id": number, "method": method, "params": params}
        if self.session:
            message["sessionId"] = self.session
        answered = asyncio.get_running_loop().create_future()
        self.waiting[number] = answered
        os.write(self.commands, json.dumps(message).encode() + b"\0")
        reply = await asyncio.wait_for(answered, PATIENCE)
        if "error" in reply:
            raise RuntimeError(f"{method}: {reply['error']['message']}")
        return reply["result"]

    async def evaluate(self, expression):
        """The value of a JavaScript expression, a promise's included."""
        reply = await self.call(
            "Runtime.evaluate", expression=expression, awaitPromise=True, returnByValue=True
        )
        if "exceptionDetails" in reply:
            details = reply["exceptionDetails"]
            raise ValueError(details.get("exception", {}).get("description", details["text"]))
        return reply["result"].get("value")

    def close(self):
        os.close(self.commands)
        try:
            self.process.wait(5)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


def call_of(function, *values):
    return f"{function}({', '.join(json.dumps(value) for value in values)})"


def attribute(sdp, name):
    start = f"a={name}:"
    lines = [line[len(start) :] for line in sdp.splitlines() if line.startswith(start)]
    return lines[0] if lines else ""


class Peer:
    def __init__(self, args):
        self.controlling = args.controlling
        self.trickle = not args.no_trickle
        self.fingerprint = args.fingerprint
        self.profile = tempfile.TemporaryDirectory(ignore_cleanup_errors=True)
        self.browser = Browser(args, self.profile.name, self.event)
        self.version = 1
        # Of the present generations.
        self.ufrag = None
        self.remote = None
        self.offered = False
        # Events of the page's that are ahead of the credentials.
        self.early = []
        # Kept back by --no-trickle.
        self.local_candidates = []
        self.remote_candidates = []

    def event(self, event):
        kind = event["event"]
        if kind in ("candidate", "end"):
            if event.get("ufrag", self.ufrag) != self.ufrag or self.ufrag is None:
                self.early.append(event)
            elif kind == "candidate" and self.trickle:
                emit("candidate", candidate=event["text"], ufrag=self.ufrag)
            elif kind == "candidate":
                self.local_candidates.append(event["text"])
            elif self.early:
                self.early.append(event)
            else:
                for text in self.local_candidates:
                    emit("candidate", candidate=text, ufrag=self.ufrag)
                self.local_candidates = []
                emit("end-of-candidates", ufrag=self.ufrag)
        elif kind == "ice":
            if event["state"] != "new":
                emit("state", state=event["state"])
        elif kind == "selected":
            emit("selected", component=1, local=event["local"], remote=event["remote"])
        elif kind == "connection":
            emit("connection", state=event["state"])

    def announce(self, sdp):
        """Prints the credentials in the page's own description."""
        self.ufrag = attribute(sdp, "ice-ufrag")
        emit(
            "credentials",
            ufrag=self.ufrag,
            pwd=attribute(sdp, "ice-pwd"),
            options=attribute(sdp, "ice-options").split(),
            pacing=PACING_MS,
            lite=False,
        )
        early, self.early = self.early, []
        for event in early:
            self.event(event)

    async def offer(self, restart):
        self.offered = True
        self.announce(await self.browser.evaluate(call_of("offer", restart)))

    def description(self):
        """The other agent as the page is to see it."""
        self.version += 1
        options = " ".join(self.remote.get("options") or [])
        lines = [
            "v=0",
            f"o=- 1 {self.version} IN IP4 127.0.0.1",
            "s=-",
            "t=0 0",
            "a=group:BUNDLE 0",
            *(["a=ice-lite"] if self.remote.get("lite") else []),
            "m=application 9 UDP/DTLS/SCTP webrtc-datachannel",
            "c=IN IP4 0.0.0.0",
            f"a=ice-ufrag:{self.remote['ufrag']}",
            f"a=ice-pwd:{self.remote['pwd']}",
            *([f"a=ice-options:{options}"] if options else []),
            f"a=fingerprint:sha-256 {self.fingerprint}",
            # Chromium is the DTLS client either way.
            f"a=setup:{'passive' if self.offered else 'actpass'}",
            "a=mid:0",
            "a=sctp-port:5000",
            "a=max-message-size:262144",
            *(f"a={candidate}" for candidate in self.remote_candidates),
            *([] if self.trickle else ["a=end-of-candidates"]),
        ]
        self.remote_candidates = []
        return "".join(f"{line}\r\n" for line in lines)

    async def take_description(self):
        if self.offered:
            await self.browser.evaluate(call_of("takeAnswer", self.description()))
            self.offered = False
        else:
            self.announce(await self.browser.evaluate(call_of("answer", self.description())))

    async def take(self, line):
        kind = line.get("type")
        if kind == "credentials":
            if self.remote and self.remote["ufrag"] == line["ufrag"]:
                return
            self.remote = line
            if self.trickle:
                await self.take_description()
        elif kind == "candidate" and self.trickle:
            await self.browser.evaluate(call_of("add", line["candidate"], self.remote["ufrag"]))
        elif kind == "candidate":
            self.remote_candidates.append(line["candidate"])
        elif kind == "end-of-candidates" and not self.trickle:
            await self.take_description()
        elif kind == "restart":
            await self.offer(True)
        elif kind == "send":
            emit("error", code="not-supported", message="a page cannot send datagrams as they are")

    async def run(self):
        await self.browser.open_page()
        emit("state", state="new")
        if self.controlling:
            await self.offer(False)
        reader = asyncio.StreamReader(limit=MAX_LINE)
        await asyncio.get_running_loop().connect_read_pipe(
            lambda: asyncio.StreamReaderProtocol(reader), sys.stdin
        )
        while raw := await reader.readline():
            try:
                line = json.loads(raw)
                if line.get("type") == "close":
                    break
                await self.take(line)
            except (ValueError, KeyError, TypeError) as error:
                emit("error", code="bad-input", message=str(error))
        emit("state", state="closed")

    def close(self):
        self.browser.close()
        self.profile.cleanup()


def main():
    peer = Peer(arguments())
    try:
        asyncio.run(peer.run())
    finally:
        peer.close()


main()
