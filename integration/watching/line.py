"""`python line.py listen PORT | call ADDRESS PORT`: one TCP connection, a byte each way every 20 ms.

The caller ends when standard input does and tells, in one line of JSON, how many bytes came back, the longest time it
waited for the next one, and what broke the connection if something did. The listener serves one caller after another,
and ends with its standard input too.
"""

import json
import select
import socket
import sys
import time

EVERY_S = 0.02
CONNECT_S = 10.0


def listen(port: int) -> None:
    with socket.create_server(("0.0.0.0", port)) as server:
        print("listening", flush=True)
        while readable(server):
            connection, _ = server.accept()
            with connection:
                echo(connection)


def readable(other: socket.socket) -> bool:
    """Wait until there is something to read from `other`; false when standard input has ended."""
    return sys.stdin not in select.select([sys.stdin, other], [], [])[0]


def echo(connection: socket.socket) -> None:
    try:
        while readable(connection) and (data := connection.recv(64)):
            connection.sendall(data)
    except OSError:
        pass  # the caller says so


def call(address: str, port: int) -> None:
    echoed, longest, at, broken = 0, 0.0, 0.0, ""
    with socket.create_connection((address, port), timeout=CONNECT_S) as connection:
        connection.settimeout(
            None
        )  # a pause may last as long as it does: only the kernel ends the connection
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        print("connected", flush=True)
        last = time.monotonic()
        try:
            while not select.select([sys.stdin], [], [], EVERY_S)[0]:
                connection.sendall(b".")
                if not connection.recv(1):
                    raise ConnectionError("closed by the other side")
                now = time.monotonic()
                if now - last > longest:
                    longest, at = now - last, time.time()
                last, echoed = now, echoed + 1
        except OSError as error:
            broken = str(error)
    told = {"echoed": echoed, "longest_s": round(longest, 3), "at": round(at, 3), "broken": broken}
    print(json.dumps(told), flush=True)


if __name__ == "__main__":
    if sys.argv[1] == "listen":
        listen(int(sys.argv[2]))
    else:
        call(sys.argv[2], int(sys.argv[3]))
