"""Visitors with a real Chromium on pages that use the tracker: a visit that does everything, where cookies, policies and schemes make it hard; the calls
of the predecessor's script; a data layer; consent; links to another domain.

Called with the collector's port and a folder for the browser's profile. Prints as JSON what the pages learned and what the browser complained of; the
caller knows what is right, and what is in the table.
"""

import asyncio
import json
import os
import signal
import ssl
import sys

import trustme

from chromium import chromium, note_console, trust
from edge import Edge

HERE = os.path.dirname(os.path.abspath(__file__))
COLLECTOR = "https://collect.shop.example"
LOCAL = "http://localhost:8080"
# Pages: the collector that each sends to, the script, the stream if the page names it.
PAGES = {
    "http://localhost:3000": (LOCAL, "rs.js", "plain"),
    "https://www.shop.example": (COLLECTOR, "rs.js", "own"),
    "https://www.partner.example": (COLLECTOR, "rs.js", "other"),
    "https://layer.shop.example": (COLLECTOR, "rs.js", ""),
    "https://tag.shop.example": (COLLECTOR, "v6.js", ""),
    "https://small.shop.example": (COLLECTOR, "rs-core.js", "small"),
}
ITEMS = [{"item_id": "m1", "item_name": "Mug", "price": 9.5, "quantity": 2, "index": 3, "colour": "red"}]
SHOPPING = [
    "add_payment_info", "add_shipping_info", "add_to_cart", "add_to_wishlist", "begin_checkout", "purchase", "refund",
    "remove_from_cart", "select_item", "select_promotion", "view_cart", "view_item", "view_item_list", "view_promotion",
]
# Makes a film of a second in the page, and plays it to its end.
FILM = """async () => {
    const canvas = document.createElement('canvas');
    const pen = canvas.getContext('2d');
    const recorder = new MediaRecorder(canvas.captureStream(25));
    const parts = [];
    recorder.ondataavailable = (event) => parts.push(event.data);
    recorder.start();
    const drawing = setInterval(() => pen.fillRect(0, 0, Math.random() * 99, 99), 20);
    await new Promise((resolve) => setTimeout(resolve, 1500));
    clearInterval(drawing);
    await new Promise((resolve) => { recorder.onstop = resolve; recorder.stop(); });
    const film = document.getElementById('film');
    const happened = (name) => new Promise((resolve) => film.addEventListener(name, resolve, {once: true}));
    film.src = URL.createObjectURL(new Blob(parts, {type: 'video/webm'}));
    await happened('loadedmetadata');
    // A film that was recorded just now does not know how long it is before its end was seen.
    film.currentTime = 1e6;
    await happened('timeupdate');
    film.currentTime = 0;
    await happened('seeked');
    const ended = happened('ended');
    await film.play();
    await ended;
}"""


def host(origin):
    return origin.split("//")[1]


async def ready(page):
    await page.wait_for_function("window.rs && rs.q === 0")


async def settled(page):
    """Waits until the collector has answered for everything."""
    await page.wait_for_function("!Object.keys(localStorage).some((key) => key.startsWith('_rs.'))")


async def visit(browser, origin):
    """Does everything that is recorded by itself, shops, and closes the tab."""
    page = await browser.new_page()
    complaints = note_console(page)
    await page.goto(f"{origin}/?q=mug+red&utm_source=news&utm_medium=mail")
    await ready(page)
    # Whoever clicks stays, and waits a while for the answer.
    await page.evaluate("""() => {
        const stay = (event) => event.preventDefault();
        addEventListener('submit', stay);
        addEventListener('click', (event) => {
            if (event.target.closest('a')) stay(event);
            for (const begun = performance.now(); performance.now() < begun + 80;);
        });
    }""")
    await page.click("#out")
    await page.click("#file")
    await page.fill("#amount", "2")
    await page.click("#send")
    await page.evaluate("history.pushState(null, '', '/next')")
    await page.evaluate("document.getElementById('end').style.paddingTop = '3000px'")
    await page.evaluate("document.getElementById('end').scrollIntoView(false)")
    await page.evaluate(FILM)
    for name in SHOPPING:
        params = {"currency": "USD", "value": 19, "transaction_id": f"t-{origin}", "tax": 1.5, "shipping": 2, "items": ITEMS}
        await page.evaluate("([name, params]) => rs('event', name, params)", [name, params])
    await page.evaluate("rs('user', 'u-7', {tier: 'gold', seats: 3})")
    await page.evaluate("rs('set', {page_group: 'shop'})")
    await page.evaluate("rs('event', 'own', {text: 't', whole: 5, part: 1.5, flag: true})")
    await page.evaluate("rs('config', rs.stream || document.querySelector('script').dataset.stream, {errors: true})")
    await page.evaluate("Promise.reject(new Error('boom')); undefined")
    await page.evaluate("rs('nonsense'); rs(); rs('event'); rs('user'); rs('consent')")
    await page.wait_for_timeout(1500)
    await settled(page)
    storage = await page.evaluate("({cookie: document.cookie, disk: Object.keys(localStorage)})")
    await page.close(run_before_unload=True)
    # What was handed over when it closed is sent once more.
    page = await browser.new_page()
    await page.goto(f"{origin}/again")
    await ready(page)
    await page.wait_for_timeout(1200)
    await settled(page)
    await page.close()
    cookies = await browser.cookies(PAGES[origin][0])
    return {
        "stream": PAGES[origin][2],
        "complaints": [complaint for complaint in complaints if "boom" not in complaint],
        "storage": storage,
        "server_cookies": [cookie["name"] for cookie in cookies if cookie["httpOnly"]],
    }


async def layer(browser):
    """A page with a data layer that was there before."""
    page = await browser.new_page()
    complaints = note_console(page)
    await page.add_init_script("""
        window.rs = window.rs || function () { (rs.q = rs.q || []).push(arguments); };
        window.dataLayer = window.dataLayer || [];
        function gtag() { dataLayer.push(arguments); }
        dataLayer.push({event: 'gtm.js', 'gtm.start': 1});
        gtag('js', new Date());
        gtag('event', 'before', {n: 1});
        dataLayer.push({ecommerce: null});
        dataLayer.push({event: 'add_to_cart', group: 'g', ecommerce: {currency: 'EUR', value: 9.5, items: %s}});
        rs('config', 'layer', {data_layer: 'dataLayer', send_page_view: false});
    """ % json.dumps(ITEMS))
    await page.goto("https://layer.shop.example/")
    await ready(page)
    await page.evaluate("gtag('set', 'user_properties', {tier: 'silver'}); gtag('event', 'behind', {n: 2})")
    length = await page.evaluate("dataLayer.length")
    await settled(page)
    await page.close()
    return {"complaints": complaints, "length": length}


BODIES = [
    {"event_name": "page_view", "v": 2, "event_id": "1766400612345_17664007345677", "event_params": [
        {"key": "page_location", "value": {"string_value": "https://shop.test/a?utm_source=n1"}},
        {"key": "page_hostname", "value": {"string_value": "shop.test"}},
        {"key": "page_referrer", "value": {"string_value": ""}},
        {"key": "page_title", "value": {"string_value": "A"}},
        {"key": "page_encoding", "value": {"string_value": "UTF-8"}},
        {"key": "screen_resolution", "value": {"string_value": "1920x1080"}},
        {"key": "viewport_size", "value": {"string_value": "1200x800"}},
    ], "user_properties": None, "_dcid_temp": "dcid.1.1766400600000.123456789"},
    {"event_name": "sign_up", "v": 2, "event_id": "1766400612345_17664007345679", "event_params": [
        {"key": "plan", "value": {"string_value": "pro"}}, {"key": "seats", "value": {"int_value": 5}},
        {"key": "price", "value": {"float_value": 9.5}}, {"key": "user_id", "value": {"string_value": "u-9"}},
    ], "user_properties": [{"key": "user_id", "value": {"string_value": "u-9"}}], "privacy_info": {
        "ad_storage": False, "ad_user_data": False, "ad_personalization": False, "analytics_storage": True,
        "functionality_storage": True, "personalization_storage": True, "security_storage": True,
    }, "user_id": "u-9", "_dcid_temp": "dcid.1.1766400600000.123456789"},
    {"event_name": "video_done", "v": 2, "event_id": "1766400612345_176640073456712", "event_params": None,
     "user_properties": None, "common_cookie": {"_fbp": "fb.1.1.2"}, "_dcid_temp": "dcid.1.1766400600000.123456789",
     "x-ga-measurement_id": "G-TEST", "x-ga-page_id": 1766400600000, "x-ga-mp2-richsstsse": "", "x-ga-mp2-seg": 1,
     "x-ga-request_count": 1, "x-ga-protocol_version": 2},
]
STREAM = (
    'event: message\ndata: {"send_pixel": ["${transport_url}/_set_cookie?a", "https://pixel.shop.example/p"], "send_beacon": ["https://pixel.shop.example/b"]}\n\n'
    'event: message\ndata: {"response": {"status_code": 201, "body": "{\\"got\\": 1}"}}\n\n'
    'event: message\ndata: {"response": {"status_code": 500'
)


async def predecessor(browser):
    """The calls of the predecessor's script, from its path; each event besides by a plain request."""
    page = await browser.new_page()
    complaints = note_console(page)
    asked = []

    async def answer(route):
        asked.append(f"{route.request.method} {route.request.url}")
        origin = {"Access-Control-Allow-Origin": "https://tag.shop.example", "Access-Control-Allow-Credentials": "true"}
        if "/stream" in route.request.url:
            await route.fulfill(status=200, headers=origin, content_type="text/event-stream", body=STREAM)
        elif "/text" in route.request.url:
            await route.fulfill(status=200, headers=origin, body="fine")
        else:
            await route.fulfill(status=204)

    await page.route("**/answers/*", answer)
    await page.route("**/_set_cookie*", answer)
    await page.route("https://pixel.shop.example/*", answer)
    await page.goto("https://tag.shop.example/")
    await ready(page)
    pushed = []
    for number, body in enumerate(BODIES):
        for uses_fetch in (True, False):
            body = {**body, "event_id": f"{body['event_id']}{int(uses_fetch)}"}
            pushed.append(await page.evaluate("""async ([body, server, usesFetch]) => {
                window.answers = [];
                dataTagSendData(body, server, '/api/v1/streaming/tag', 'answered', 'answers', false, usesFetch);
                while (!answers.length) await new Promise((resolve) => setTimeout(resolve, 20));
                return answers;
            }""", [body, COLLECTOR, uses_fetch]))
        await page.evaluate("""([body, server]) => fetch(server + '/api/v1/streaming/tag', {
            method: 'POST', body: JSON.stringify(body), credentials: 'include'})""", [body | {"event_id": f"plain{number}"}, COLLECTOR])
    functions = await page.evaluate("""async ([server]) => {
        const of = (path, waits) => new Promise((resolve) => {
            window.layer = {push: resolve};
            dataTagSendData({}, server, '/answers/' + path, 'named', 'layer', waits, true);
        });
        window.google_tag_manager = {'GTM-1': {dataLayer: {get: (name) => name.split('.').length ? 'part' : {a: 1}}}};
        const sha = new dataTagJsSHA('SHA-256', 'TEXT', {hmacKey: {value: 'key', format: 'TEXT'}});
        sha.update('The quick brown fox ');
        sha.update('jumps over the lazy dog');
        return {
            stream: await of('stream', true),
            text: await of('text'),
            data: dataTagGetData('GTM-1'),
            is_kept: dataTagData.dataModel.a,
            md5: dataTagMD5('The quick brown fox jumps over the lazy dog'),
            sha256: [dataTag256('abc', 'HEX'), dataTag256('zoë@example.com', 'B64')],
            parsed: [dataTagParseResponse('{"a":1}'), dataTagParseResponse('no')],
            hmac: sha.getHash('HEX'),
            size: [innerWidth, innerHeight, screen.width, screen.height],
        };
    }""", [COLLECTOR])
    await page.close()
    return {"complaints": complaints, "pushed": pushed, "functions": functions, "asked": asked}


async def small(browser):
    """The core."""
    page = await browser.new_page()
    complaints = note_console(page)
    await page.goto("https://small.shop.example/")
    await ready(page)
    await page.evaluate("rs('event', 'own', {a: 1})")
    await page.wait_for_timeout(1200)
    await settled(page)
    await page.close()
    return {"complaints": complaints}


async def consent(browser):
    """Who denies, and grants then; with nothing stored before."""
    told = {}
    for denied in ("send", "hold", "drop"):
        await browser.clear_cookies()
        page = await browser.new_page()
        complaints = note_console(page)
        await page.add_init_script("""
            window.rs = window.rs || function () { (rs.q = rs.q || []).push(arguments); };
            rs('consent', 'default', {analytics_storage: 'denied', ad_storage: 'denied'});
            rs('config', 'consent', {denied: '%s', send_page_view: false});
            rs('event', '%s_before', {});
        """ % (denied, denied))
        await page.goto("https://layer.shop.example/consent")
        await ready(page)
        await page.wait_for_timeout(1500)
        stored = await page.evaluate("({cookie: document.cookie, disk: Object.keys(localStorage)})")
        await page.evaluate(f"rs('consent', 'update', {{analytics_storage: 'granted'}}); rs('event', '{denied}_granted', {{}})")
        await page.wait_for_timeout(1500)
        await settled(page)
        granted = await page.evaluate("document.cookie")
        await page.evaluate(f"rs('consent', 'update', {{analytics_storage: 'denied'}}); rs('event', '{denied}_withdrawn', {{}})")
        await page.wait_for_timeout(1500)
        withdrawn = await page.evaluate("({cookie: document.cookie, disk: Object.keys(localStorage)})")
        await page.close()
        told[denied] = {"complaints": complaints, "stored": stored, "granted": granted, "withdrawn": withdrawn}
    return told


async def links(browser):
    """From one domain to another; then somebody new by the same link, and by one that was changed."""
    await browser.clear_cookies()
    page = await browser.new_page()
    complaints = note_console(page)
    await page.add_init_script("""
        window.rs = window.rs || function () { (rs.q = rs.q || []).push(arguments); };
        rs('config', 'links', {domains: ['partner.example', 'shop.example']});
    """)
    await page.goto("https://layer.shop.example/from")
    await ready(page)
    await page.wait_for_timeout(1200)
    await settled(page)
    await page.evaluate("document.getElementById('out').href = 'https://www.partner.example/to?a=1#top'")
    async with page.expect_navigation():
        await page.click("#out")
    await ready(page)
    passed_on = page.url
    await page.wait_for_timeout(1200)
    await settled(page)
    told = {"complaints": complaints, "url": passed_on, "cookies": [await page.evaluate("document.cookie")]}
    for url in (passed_on, passed_on.replace("_rl=", "_rl=1")):
        await browser.clear_cookies()
        await page.goto(url)
        await ready(page)
        told["cookies"].append(await page.evaluate("document.cookie"))
    await page.wait_for_timeout(1200)
    await settled(page)
    await page.close()
    return told


async def main(port, folder):
    with open(os.path.join(HERE, "tracker.html"), encoding="utf-8") as file:
        html = file.read()
    pages, policies = {}, {}
    for origin, (collector, script, stream) in PAGES.items():
        page = html.replace("COLLECTOR", collector).replace("SCRIPT", script).replace("STREAM", stream)
        pages[host(origin)] = page.encode()
        policies[host(origin)] = (
            f"default-src 'none'; script-src {collector}; connect-src {collector} https://pixel.shop.example; img-src data: {collector} "
            "https://pixel.shop.example; media-src blob:; style-src 'none'; form-action 'self'; base-uri 'none'; "
            "require-trusted-types-for 'script'"
        )
    pages[host("https://tag.shop.example")] = pages[host("https://tag.shop.example")].replace(b"/static/v6.js", b"/api/v1/fetch/v6.js")
    edge = Edge(("127.0.0.1", port), pages, policies)
    authority = trustme.CA()
    trust(folder, authority)
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    origins = {*PAGES, COLLECTOR, LOCAL}
    authority.issue_cert(*(host(origin) for origin in origins if origin.startswith("https:"))).configure_cert(tls)
    plain, secure = await edge.listen(), await edge.listen(tls)
    ports = {host(origin): secure if origin.startswith("https:") else plain for origin in origins}
    told = {"visits": []}
    async with chromium(folder, ports) as browser:
        told["visits"].append(await visit(browser, "http://localhost:3000"))
        told["visits"].append(await visit(browser, "https://www.shop.example"))
        told["layer"] = await layer(browser)
        told["predecessor"] = await predecessor(browser)
        told["small"] = await small(browser)
        told["consent"] = await consent(browser)
        told["links"] = await links(browser)
    # Pages of another site, in a browser that keeps no cookies of others.
    os.mkdir(os.path.join(folder, "private"))
    trust(os.path.join(folder, "private"), authority)
    async with chromium(os.path.join(folder, "private"), ports, takes_cookies_of_others=False) as browser:
        told["visits"].append(await visit(browser, "https://www.partner.example"))
    print(json.dumps(told))


# Ends it whatever hangs.
signal.alarm(300)
asyncio.run(main(int(sys.argv[1]), sys.argv[2]))
