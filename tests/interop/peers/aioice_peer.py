"""An aioice connection behind the JSON Lines of `ice-probe stdio`.

    aioice_peer.py --controlling|--controlled [--stun ADDRESS:PORT]
                   [--components N] [--no-ipv6]
                   [--turn URI --user USER --pass PASSWORD]

With --turn it has relayed candidates alone.
aioice gathers on every address but loopback, hands its candidates over when
gathering has ended, and lets data through from the moment of nomination, so
that `connected` and `completed` come together.
"""

import argparse
import asyncio
import base64
import json
import sys

import aioice

# aioice starts a new check every 20 ms.
PACING_MS = 20
MAX_LINE = 64 * 1024


def emit(kind, **members):
    print(json.dumps({"type": kind, **members}), flush=True)


def emit_payload(component, payload):
    try:
        emit("received", component=component, text=payload.decode())
    except UnicodeDecodeError:
        emit("received", component=component, base64=base64.b64encode(payload).decode())


def arguments():
    parser = argparse.ArgumentParser()
    role = parser.add_mutually_exclusive_group(required=True)
    role.add_argument("--controlling", action="store_true")
    role.add_argument("--controlled", action="store_true")
    parser.add_argument("--stun", metavar="ADDRESS:PORT")
    parser.add_argument("--components", type=int, default=1)
    parser.add_argument("--no-ipv6", action="store_true")
    parser.add_argument("--turn", metavar="URI", help="turn:ADDRESS:PORT[?transport=tcp]")
    parser.add_argument("--user")
    parser.add_argument("--pass", dest="password")
    return parser.parse_args()


def relay(args):
    """What a connection is told of the TURN server."""
    if not args.turn:
        return {}
    server, _, transport = args.turn.removeprefix("turn:").partition("?transport=")
    host, _, port = server.rpartition(":")
    return {
        "turn_server": (host, int(port)),
        "turn_username": args.user,
        "turn_password": args.password,
        "turn_transport": transport or "udp",
        "transport_policy": aioice.TransportPolicy.RELAY,
    }


class Peer:
    def __init__(self, args):
        server = None
        if args.stun:
            host, _, port = args.stun.rpartition(":")
            server = (host, int(port))
        self.connection = aioice.Connection(
            ice_controlling=args.controlling,
            components=args.components,
            stun_server=server,
            use_ipv6=not args.no_ipv6,
            **relay(args),
        )
        self.gathered = asyncio.Event()
        self.tasks = []

    async def gather(self):
        ufrag = self.connection.local_username
        await self.connection.gather_candidates()
        for candidate in self.connection.local_candidates:
            emit("candidate", candidate=f"candidate:{candidate.to_sdp()}", ufrag=ufrag)
        emit("end-of-candidates", ufrag=ufrag)
        self.gathered.set()

    async def negotiate(self):
        await self.gathered.wait()
        emit("state", state="checking")
        try:
            await self.connection.connect()
        except ConnectionError as error:
            emit("state", state="failed", reason=str(error))
            return
        emit("state", state="connected")
        # The library does not tell which pairs it chose; this is where it keeps them.
        for component, pair in sorted(self.connection._nominated.items()):
            emit(
                "selected",
                component=component,
                local=f"candidate:{pair.local_candidate.to_sdp()}",
                remote=f"candidate:{pair.remote_candidate.to_sdp()}",
            )
        emit("state", state="completed")
        await self.receive()

    async def receive(self):
        while True:
            try:
                payload, component = await self.connection.recvfrom()
            except ConnectionError:
                return
            emit_payload(component, payload)

    async def take(self, line):
        kind = line.get("type")
        if kind == "credentials":
            self.connection.remote_username = line["ufrag"]
            self.connection.remote_password = line["pwd"]
            self.tasks.append(asyncio.create_task(self.negotiate()))
        elif kind == "candidate":
            text = line["candidate"].removeprefix("a=").removeprefix("candidate:")
            await self.connection.add_remote_candidate(aioice.Candidate.from_sdp(text))
        elif kind == "end-of-candidates":
            await self.connection.add_remote_candidate(None)
        elif kind == "send":
            payload = line["text"].encode() if "text" in line else base64.b64decode(line["base64"])
            try:
                await self.connection.sendto(payload, line.get("component", 1))
            except ConnectionError as error:
                emit("error", code="not-connected", message=str(error))

    async def run(self):
        emit(
            "credentials",
            ufrag=self.connection.local_username,
            pwd=self.connection.local_password,
            # Not "ice2": it nominates with every check.
            options=["trickle"],
            pacing=PACING_MS,
            lite=False,
        )
        emit("state", state="new")
        self.tasks.append(asyncio.create_task(self.gather()))
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
            except (ValueError, KeyError, AttributeError) as error:
                emit("error", code="bad-input", message=repr(error))
        await self.connection.close()
        for task in self.tasks:
            task.cancel()
        emit("state", state="closed")


asyncio.run(Peer(arguments()).run())
