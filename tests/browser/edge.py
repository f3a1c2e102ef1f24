"""What stands between a browser and the collector: a proxy on loopback that notes each request.

It serves the test's pages; every other host is the collector. Over https it does what a load balancer does: it ends TLS and says
so in `X-Forwarded-Proto` and `X-Forwarded-For`. Over plain http it adds nothing, as if the browser spoke to the collector itself.
"""

import asyncio
import json
from urllib.parse import parse_qs, urlsplit

CLIENT = "203.0.113.7"
PATIENCE = 60


class Edge:
    """Forwards to the collector at `collector`, host and port; `pages` says the HTML of each host that is a page, `policies` what it may load."""

    def __init__(self, collector, pages, policies=None):
        self.collector, self.pages, self.policies = collector, pages, policies or {}
        self.requests = []
        self.answered = asyncio.Condition()

    async def listen(self, tls=None):
        """Begins to listen, by TLS if a context for it is given; returns the port."""

        async def serve(reader, writer):
            try:
                await self.serve(reader, writer, tls is not None)
            except (asyncio.IncompleteReadError, ConnectionError):
                pass  # Browsers open connections in advance and never use some of them.
            finally:
                writer.close()

        server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=tls)
        return server.sockets[0].getsockname()[1]

    async def until_answered(self, names, begun):
        """Waits until events of all these names have been answered, among the requests from number `begun` on."""

        def all_are():
            return names <= {request["event"] for request in self.requests[begun:] if request["status"]}

        async with self.answered:
            await asyncio.wait_for(self.answered.wait_for(all_are), PATIENCE)

    async def serve(self, reader, writer, is_tls):
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")[:-2]
        fields = [line.split(": ", 1) for line in head[1:]]
        headers = {name.lower(): value for name, value in fields}
        body = await reader.readexactly(int(headers.get("content-length", 0)))
        method, path, _ = head[0].split(" ")
        request = {
            "host": headers["host"],
            "method": method,
            "path": urlsplit(path).path,
            "event": event_name(path, body),
            "content_type": headers.get("content-type"),
            "cookie": headers.get("cookie"),
            "status": None,
        }
        self.requests.append(request)
        if headers["host"] in self.pages:
            answer = page(self.pages[headers["host"]], self.policies.get(headers["host"]))
        else:
            fields = [field for field in fields if field[0].lower() != "connection"] + [["Connection", "close"]]
            if is_tls:
                fields += [["X-Forwarded-Proto", "https"], ["X-Forwarded-For", CLIENT]]
            lines = [head[0]] + [": ".join(field) for field in fields]
            answer = await self.forwarded("\r\n".join(lines + ["", ""]).encode("latin-1") + body)
        writer.write(answer)
        await writer.drain()
        async with self.answered:
            request["status"] = int(answer.split(b" ", 2)[1])
            self.answered.notify_all()

    async def forwarded(self, request):
        """The collector's answer, whole: it closes the connection behind it."""
        reader, writer = await asyncio.open_connection(*self.collector)
        try:
            writer.write(request)
            return await reader.read()
        finally:
            writer.close()


def page(html, policy=None):
    head = f"HTTP/1.1 200 OK\r\nContent-Type: text/html; charset=utf-8\r\nContent-Length: {len(html)}\r\nConnection: close\r\n"
    if policy:
        head += f"Content-Security-Policy: {policy}\r\n"
    return head.encode() + b"\r\n" + html


def event_name(path, body):
    """The name of the event in a body or query, if there is one; of an array all of them."""
    try:
        said = json.loads(body)
        return " ".join(event["event_name"] for event in said) if isinstance(said, list) else said.get("event_name")
    except ValueError:
        return parse_qs(urlsplit(path).query).get("event_name", [None])[0]
