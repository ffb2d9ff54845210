# SPDX-License-Identifier: MIT
"""peer.py ADDRESS PORT send FILE | receive FILE   A server for clients that speak no HTTP.

send: every connection gets FILE, then the end. receive: what a connection sends until its end becomes FILE.NUMBER,
and "done" is the answer.
"""
import os
import socket
import sys
import threading

address, port, what, path = sys.argv[1], int(sys.argv[2]), sys.argv[3], sys.argv[4]


def serve(conn, number):
    with conn:
        if what == "send":
            with open(path, "rb") as file:
                conn.sendfile(file)
            conn.shutdown(socket.SHUT_WR)
            while conn.recv(65536):
                pass
        else:
            with open(f"{path}.part", "wb") as file:
                while data := conn.recv(1 << 20):
                    file.write(data)
            os.rename(f"{path}.part", f"{path}.{number}")
            conn.sendall(b"done\n")


with socket.create_server((address, port)) as listener:
    number = 0
    while True:
        conn, _ = listener.accept()
        number += 1
        threading.Thread(target=serve, args=(conn, number), daemon=True).start()
