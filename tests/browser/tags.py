"""Tags of the template for Google Tag Manager, in pages of a real Chromium that load the collector's own script.

Called with the collector's port and a folder for the browser's profile. Prints as JSON, one object a page, how its tags ended, what the
browser sent and keeps; the caller knows what is right.
"""

import asyncio
import json
import os
import signal
import ssl
import subprocess
import sys
import urllib.request

import trustme

from chromium import chromium, note_console, trust
from edge import Edge

WEB = os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../web")
COLLECTOR = "collect.shop.example"
SHOP, PARTNER = "www.shop.example", "www.partner.example"
# As strict as a page can be that lets the tag work.
PAGE = f"""<!doctype html><html lang="en"><head><meta charset="utf-8"><title>Mugs</title>
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; script-src https://{COLLECTOR}; connect-src https://{COLLECTOR}; img-src data:">
<link rel="icon" href="data:,"></head><body></body></html>"""
# The part of Tag Manager that the script asks.
TAG_MANAGER = """
window.dataLayer = [];
window.model = {};
window.google_tag_manager = {"GTM-TEST": {dataLayer: {get: (key) => key.split(".").reduce((held, part) => held[part], model)}}};
"""


def bundle():
    """The sandbox, for a page."""
    esbuild = ["node", "node_modules/esbuild/bin/esbuild", "gtm/container.js", "--bundle", "--format=iife", "--global-name=gtm"]
    return subprocess.run(esbuild, cwd=WEB, check=True, capture_output=True, text=True).stdout


def template(port):
    """The template, as the collector gives it."""
    request = urllib.request.Request(f"http://127.0.0.1:{port}/static/gtm/template.tpl", headers={"Host": COLLECTOR})
    with urllib.request.urlopen(request) as answer:
        return answer.read().decode()


def tag(**fields):
    return {"gtm_server_domain": COLLECTOR, "stream_id": "1", **fields}


def row(name, value, transformation="none"):
    return {"name": name, "value": value, "transformation": transformation, "store": "none"}


SALE = {"transaction_id": "T-1", "value": "19.90", "currency": "EUR", "items": [{"item_id": 7, "price": "9.95", "quantity": 2}]}
# What the tags of each page send, all at once.
ALL = [
    (tag(dataLayerEventPush=True, dataLayerEventName="collected"), {"gtm.uniqueEventId": 3}),
    (
        tag(
            event_type="custom",
            event_name_custom="sign_up_done",
            add_data_layer=True,
            user_data=[row("user_id", 42), row("email_address", " Ann@Shop.example", "sha256hex")],
            custom_data=[row("plan", "007"), row("digest", "a", "md5")],
        ),
        {"gtm.uniqueEventId": 4},
    ),
    (tag(event_name_standard="purchase", add_ecommerce=True, useFetchInsteadOfXHR=False), {"gtm.uniqueEventId": 5, "ecommerce": SALE}),
]
NEXT = [(tag(), {"gtm.uniqueEventId": 3})]
DENIED = [(tag(user_data=[row("user_id", "u")]), {"gtm.uniqueEventId": 3})]
WAITING = [(tag(when_denied="wait"), {"gtm.uniqueEventId": 3})]

FIRE = """async ([text, tags, denied]) => {
  const {page, fire} = gtm.container("GTM-TEST", text);
  if (denied) page.consent.analytics_storage = false;
  window.choose = (granted) => page.choose("analytics_storage", granted);
  model.event = "ready";
  return Promise.all(tags.map(([fields, layer]) => fire(fields, layer)));
}"""


async def until(page, condition):
    """Waits for something in the page, whose policy forbids what Playwright would do for that."""
    while not await page.evaluate(condition):
        await asyncio.sleep(0.02)


async def visit(browser, edge, code, text, origin, tags, denied=False, decides=False):
    begun = len(edge.requests)
    page = await browser.new_page()
    complaints = note_console(page)
    await page.add_init_script(TAG_MANAGER)
    await page.goto(f"https://{origin}/cart?utm_source=n1")
    await page.evaluate(code + ";window.gtm = gtm")
    ended = await page.evaluate(FIRE, [text, tags, denied])
    if decides:
        silent = len(edge.requests) - begun
        await page.evaluate("choose(true)")
    names = {fields.get("event_name_custom", fields.get("event_name_standard", "page_view")) for fields, _ in tags}
    await edge.until_answered(names, begun)
    if any("dataLayerEventName" in fields for fields, _ in tags):
        await until(page, "dataLayer.length > 0")
    told = {
        "page": origin,
        "ended": ended,
        "layer": await page.evaluate("dataLayer"),
        "stored": await page.evaluate("({...localStorage})"),
        "readable_cookie": await page.evaluate("document.cookie"),
        "cookies": await browser.cookies(f"https://{COLLECTOR}"),
        "requests": edge.requests[begun:],
        "complaints": complaints,
    }
    if decides:
        told["before_the_choice"] = silent
    await page.close()
    return told


async def main(port, folder):
    code, text = bundle(), template(port)
    edge = Edge(("127.0.0.1", port), {SHOP: PAGE.encode(), PARTNER: PAGE.encode()})
    authority = trustme.CA()
    trust(folder, authority)
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    hosts = [COLLECTOR, SHOP, PARTNER]
    authority.issue_cert(*hosts).configure_cert(tls)
    secure = await edge.listen(tls)
    pages = []
    async with chromium(folder, {host: secure for host in hosts}) as browser:
        pages.append(await visit(browser, edge, code, text, PARTNER, DENIED, denied=True))
        pages.append(await visit(browser, edge, code, text, SHOP, ALL))
        pages.append(await visit(browser, edge, code, text, SHOP, NEXT))
        pages.append(await visit(browser, edge, code, text, SHOP, WAITING, denied=True, decides=True))
    print(json.dumps(pages))


# Ends it whatever hangs.
signal.alarm(240)
asyncio.run(main(int(sys.argv[1]), sys.argv[2]))
