"""A minimal server for 256 images: socket bytes, ONNX Runtime, socket bytes; almost no HTTP parsing, no checks."""

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
connections: dict[int, tuple[socket.socket, bytearray]] = {}
while True:
    for fd, _ in poll.poll():
        if fd == listener.fileno():
            client = listener.accept()[0]
            client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            connections[client.fileno()] = client, bytearray()
            poll.register(client, select.EPOLLIN)
            continue
        client, received = connections[fd]
        data = client.recv(2**18)
        received += data
        if not data:
            del connections[fd]
            client.close()
        elif len(received) > PIXELS:  # the head is shorter than the images, and clients do not pipeline
            length = int(received[:1000].split(b"Content-Length: ")[1].split(b"\r\n")[0])
            if len(received) < received.find(b"\r\n\r\n") + 4 + length:
                continue
            images = np.frombuffer(received[-PIXELS:], np.uint8).reshape(SHAPE)
            probabilities = session.run(["probabilities"], {"image": images})[0].tobytes()
            client.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(probabilities) + probabilities)
            received.clear()
