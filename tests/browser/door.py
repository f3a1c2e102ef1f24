"""A visitor with a real Chromium calls on pages that send events to the collector, closes it, and comes back.

Called with the collector's port and a folder for the browser's profile. Prints as JSON, one object a visit, what the pages could read,
what the browser sent, and which cookie it keeps; the caller knows what is right.
"""

import asyncio
import json
import os
import re
import signal
import ssl
import sys

import trustme

from chromium import chromium, note_console, trust
from edge import Edge

HERE = os.path.dirname(os.path.abspath(__file__))
FIRST_PARTY = "https://collect.shop.example"
# Pages, and the collector that each sends to.
PAGES = {
    "http://localhost:3000": "http://localhost:8080",
    "https://www.shop.example": FIRST_PARTY,
    "https://www.partner.example": FIRST_PARTY,
    "https://www.stranger.example": FIRST_PARTY,
    "https://www.cloud.example": "https://collect-abc-uc.a.run.app",
}


def readme_example():
    """The README's example of sending from a page."""
    with open(os.path.join(HERE, "../../README.md"), encoding="utf-8") as file:
        return re.search(r"```js\n(.*?);\n```", file.read(), re.DOTALL).group(1)


def host(origin):
    return origin.split("//")[1]


async def visit(browser, edge, origin):
    """Sends in every way that a page knows, goes on to another page, and closes that."""
    example = readme_example().replace("https://collect.example.com", PAGES[origin])
    begun = len(edge.requests)
    page = await browser.new_page()
    complaints = note_console(page)
    await page.goto(f"{origin}/")
    answers = {
        "text": await page.evaluate(f"read({example})"),
        "json": await page.evaluate("post(event('json'), {'Content-Type': 'application/json'})"),
        "wrong": await page.evaluate("post('{\"event_params\": []}')"),
        "malformed": await page.evaluate("post('{')"),
        "pixel": await page.evaluate("pixel('pixel')"),
        "beacon": await page.evaluate("beacon('beacon')"),
        "blob": await page.evaluate("beacon('blob', 'application/json')"),
    }
    readable_cookie = await page.evaluate("document.cookie")
    await page.evaluate("sendWhenGone('left')")
    await page.goto(f"{origin}/next")
    await page.evaluate("sendWhenGone('closed')")
    await page.close(run_before_unload=True)
    sent = {f"{occasion}_{way}" for occasion in ("left", "closed") for way in ("hidden", "beacon", "fetch")}
    # A page that may send no JSON sends no blob of it either.
    blob = {"blob"} if "status" in answers["json"] else set()
    await edge.until_answered({"beacon"} | blob | sent, begun)
    return {
        "page": origin,
        "answers": answers,
        "readable_cookie": readable_cookie,
        "cookies": await browser.cookies(PAGES[origin]),
        "requests": edge.requests[begun:],
        "complaints": complaints,
    }


async def main(port, folder):
    with open(os.path.join(HERE, "page.html"), encoding="utf-8") as file:
        html = file.read()
    pages = {host(page): html.replace("COLLECTOR", collector).encode() for page, collector in PAGES.items()}
    edge = Edge(("127.0.0.1", port), pages)
    authority = trustme.CA()
    trust(folder, authority)
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    origins = {*PAGES, *PAGES.values()}
    authority.issue_cert(*(host(origin) for origin in origins if origin.startswith("https:"))).configure_cert(tls)
    plain, secure = await edge.listen(), await edge.listen(tls)
    ports = {host(origin): secure if origin.startswith("https:") else plain for origin in origins}
    visits = []
    async with chromium(folder, ports) as browser:
        for origin in PAGES:
            visits.append(await visit(browser, edge, origin))
    async with chromium(folder, ports) as browser:
        visits.append(await visit(browser, edge, "https://www.shop.example"))
    print(json.dumps(visits))


# Ends it whatever hangs.
signal.alarm(240)
asyncio.run(main(int(sys.argv[1]), sys.argv[2]))
