"""About the least that a server in Python can do with 256 images: bytes in, ONNX Runtime, bytes out."""

import os
import select
import socket
import sys

import numpy as np
import onnxruntime as ort

SHAPE = (256, 28, 28)
PIXELS = 256 * 28 * 28

options = ort.SessionOptions()
options.intra_op_num_threads = 1
session = ort.InferenceSession(os.environ["MNIST_ONNX"], options)
listener = socket.create_server(("127.0.0.1", int(sys.argv[1])), backlog=100)
poll = select.epoll()
poll.register(listener, select.EPOLLIN)
clients: dict[int, tuple[socket.socket, bytearray]] = {}
while True:
    for fd, _ in poll.poll():
        if fd == listener.fileno():
            client = listener.accept()[0]
            client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            clients[client.fileno()] = client, bytearray()
            poll.register(client, select.EPOLLIN)
            continue
        client, got = clients[fd]
        data = client.recv(2**18)
        got += data
        if not data:
            del clients[fd]
            client.close()
        elif len(got) > PIXELS:  # the head is shorter than that, and no client sends two requests at once
            length = int(got[:1000].split(b"Content-Length: ")[1].split(b"\r\n")[0])
            if len(got) < got.find(b"\r\n\r\n") + 4 + length:
                continue
            images = np.frombuffer(got[-PIXELS:], np.uint8).reshape(SHAPE)
            answer = session.run(["probabilities"], {"image": images})[0].tobytes()
            client.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(answer) + answer)
            got.clear()
