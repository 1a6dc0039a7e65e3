"""A terminal server with one port: pyserial's RFC 2217 code between a device and one client at a time.

    server.py DEVICE [RATE..]     listens on the loopback; refuses these bit rates

It prints `port N` first, then a line for whatever the client works: `dtr off`, `break on`, `rate 9600`,
`purged`, `closed`. The device is a PTY, which has no leads, so those of a modem are made up: DSR and CTS are on;
DCD comes on with CONNECT and goes off with NO CARRIER or DTR. On standard input `dcd off` and the like change one.
"""

import os
import socket
import sys
import threading
import time

import serial
import serial.rfc2217

REFUSED = {int(rate) for rate in sys.argv[2:]}


def say(text):
    print(text, flush=True)


class Port(serial.Serial):
    """A PTY with the leads of a modem."""

    leads = {"cts": True, "dsr": True, "ri": False, "dcd": False}

    cts = property(lambda self: self.leads["cts"])
    dsr = property(lambda self: self.leads["dsr"])
    ri = property(lambda self: self.leads["ri"])
    cd = property(lambda self: self.leads["dcd"])

    def _reconfigure_port(self, force_update=False):
        if self._baudrate in REFUSED:
            raise ValueError("this port has no such rate")
        # A PTY frames nothing, and says so; whoever asks is told what was asked for.
        framing = self._bytesize, self._parity, self._stopbits
        self._bytesize, self._parity, self._stopbits = 8, "N", 1
        try:
            super()._reconfigure_port(force_update)
        finally:
            self._bytesize, self._parity, self._stopbits = framing
        say(f"rate {self._baudrate} {self._bytesize}{self._parity}{self._stopbits}")

    def _update_dtr_state(self):
        say(f"dtr {'on' if self._dtr_state else 'off'}")
        if not self._dtr_state:
            self.leads["dcd"] = False

    def _update_rts_state(self):
        say(f"rts {'on' if self._rts_state else 'off'}")

    def _update_break_state(self):
        say(f"break {'on' if self._break_state else 'off'}")

    def reset_output_buffer(self):
        super().reset_output_buffer()
        say("purged")


class Client:
    """What PortManager wants of a connection."""

    def __init__(self, stream):
        self.stream = stream
        self.lock = threading.Lock()

    def write(self, data):
        with self.lock:
            self.stream.sendall(data)


def watch_leads(manager, gone):
    while not gone.is_set():
        try:
            manager.check_modem_lines()
        except OSError:
            return
        time.sleep(0.02)


def carry_out(port, manager, client, gone):
    last = b""
    while not gone.is_set():
        data = port.read(max(1, min(port.in_waiting, 4096)))
        last = (last + data)[-64:]
        if b"\nCONNECT" in last:
            port.leads["dcd"] = True
            last = b""
        elif b"\nNO CARRIER\r" in last:
            port.leads["dcd"] = False
            last = b""
        try:
            client.write(b"".join(manager.escape(data)))
        except OSError:
            return


def serve(port, stream):
    stream.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    client = Client(stream)
    manager = serial.rfc2217.PortManager(port, client)
    gone = threading.Event()
    threads = [
        threading.Thread(target=watch_leads, args=(manager, gone), daemon=True),
        threading.Thread(target=carry_out, args=(port, manager, client, gone), daemon=True),
    ]
    for thread in threads:
        thread.start()
    try:
        while data := stream.recv(4096):
            port.write(b"".join(manager.filter(data)))
    except OSError:
        pass
    gone.set()
    for thread in threads:
        thread.join()
    stream.close()


def work_leads():
    for line in sys.stdin:
        lead, state = line.split()
        Port.leads[lead] = state == "on"


def main():
    listener = socket.create_server(("127.0.0.1", 0))
    say(f"port {listener.getsockname()[1]}")
    threading.Thread(target=work_leads, daemon=True).start()
    while True:
        stream, _ = listener.accept()
        port = Port(sys.argv[1], timeout=0.05)
        serve(port, stream)
        port.dtr = False
        port.close()
        say("closed")


try:
    main()
except KeyboardInterrupt:
    os._exit(0)
