"""A Pub/Sub emulator with one topic and one subscription, for soak runs, and a subscriber that makes trouble.

It prints the emulator's host:port. For each number on standard input it pulls so many messages, acknowledges none of them
(they are redelivered when their deadline, 10 s, is over), publishes each once more and prints how many they were. It ends
with its standard input. Messages are put together by hand, as only a few fields are needed
(https://github.com/googleapis/googleapis/blob/master/google/pubsub/v1/pubsub.proto).
"""

import glob
import os
import shutil
import signal
import socket
import subprocess
import sys
import time

import grpc

JAR = "/usr/lib/google-cloud-sdk/platform/pubsub-emulator/lib/cloud-pubsub-emulator-*-all.jar"
PROGRAM = os.path.join(os.environ.get("XDG_CACHE_HOME", os.path.expanduser("~/.cache")), "real-streaming/tools/bin/pubsub-emulator")
DEADLINE = 10


def varint(value):
    parts = []
    while value > 0x7F:
        parts.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes(parts + [value])


def field(number, value):
    """A field of a message: a whole number, text, or bytes."""
    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    value = value.encode() if isinstance(value, str) else value
    return varint(number << 3 | 2) + varint(len(value)) + value


def texts(message, wanted):
    """The values of a field that is text, bytes or a message."""

    def number():
        nonlocal at
        value = shift = 0
        while True:
            byte = message[at]
            at += 1
            value |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                return value

    at, found = 0, []
    while at < len(message):
        key = number()
        if key & 7 == 0:
            number()
            continue
        length = number()
        if key >> 3 == wanted:
            found.append(message[at : at + length])
        at += length
    return found


def start():
    jars = glob.glob(JAR)
    if jars and shutil.which("java"):
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        command = ["java", "-Xmx1g", "-jar", jars[0], "--host=127.0.0.1", f"--port={port}"]
        return subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL), f"127.0.0.1:{port}"
    process = subprocess.Popen([PROGRAM], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    return process, process.stdout.readline().strip()


def main():
    project, topic, subscription = sys.argv[1:]
    topic = f"projects/{project}/topics/{topic}"
    subscription = f"projects/{project}/subscriptions/{subscription}"
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    process, host = start()
    try:
        channel = grpc.insecure_channel(host, options=[("grpc.max_receive_message_length", 64 << 20)])

        def call(method, message):
            return channel.unary_unary(f"/google.pubsub.v1.{method}")(message, timeout=60, wait_for_ready=True)

        call("Publisher/CreateTopic", field(1, topic))
        call("Subscriber/CreateSubscription", field(1, subscription) + field(2, topic) + field(5, DEADLINE))
        print(host, flush=True)
        for line in sys.stdin:
            wanted, messages, begun = int(line), [], time.monotonic()
            while len(messages) < wanted and time.monotonic() - begun < DEADLINE / 2:
                received = texts(call("Subscriber/Pull", field(1, subscription) + field(3, wanted - len(messages))), 1)
                messages += [texts(one, 2)[0] for one in received]
            if messages:
                call("Publisher/Publish", field(1, topic) + b"".join(field(2, message) for message in messages))
            print(len(messages), flush=True)
    finally:
        process.kill()
        process.wait()


if __name__ == "__main__":
    main()
