// The tracker with everything, and the global functions of the original's script, so that a page or tag which was set up for it goes on
// to work. They do what theirs did: what they send goes out at once, as it is, and is neither kept nor sent again.
import "./all";
import { browser, html, page, start, type Values } from "./core";
import { JsSha, md5, sha256 } from "./hash";

/** What an answer says: JSON, or a text in `body`. */
const parsed = (text: any): Values => {
  try {
    return JSON.parse(text);
  } catch (fault) {
    return { body: text };
  }
};

const STREAM = "event: message\ndata: ";

const send = (
  data: unknown,
  server: string,
  path: string,
  eventName?: string,
  layerName?: string,
  waitsForCookies?: boolean,
  usesFetch?: boolean,
): void => {
  let answer: Values = {};
  let isOver: unknown;
  /** Pixels that set cookies and have not answered. */
  let pending = 0;
  const push = (): void => {
    if (isOver && eventName && layerName && !(waitsForCookies && pending)) {
      answer.event = eventName;
      (page[layerName] = page[layerName] || []).push(answer);
    }
  };
  const pixel = (url: string): void => {
    const image = new Image(1, 1);
    if (!url.indexOf(server.replace(/\/$/, "") + "/_set_cookie")) {
      pending++;
      image.onload = image.onerror = () => {
        pending--;
        if (waitsForCookies) push();
      };
    }
    image.src = url;
  };
  /** What a block of a stream asks for. */
  const obey = (block: string): void => {
    if (block.indexOf(STREAM)) return;
    const { send_pixel, send_beacon, response } = parsed(block.slice(STREAM.length).split("\n")[0]);
    for (const url of send_pixel || []) pixel(url);
    for (const url of send_beacon || []) if (!browser.sendBeacon(url)) pixel(url);
    if (response) answer = { ...answer, ...parsed(response.body || {}), status: response.status_code || 0 };
  };
  fetch(server + path, {
    method: "POST",
    headers: { "Content-Type": "text/plain" },
    body: JSON.stringify(data),
    credentials: "include",
    keepalive: !!usesFetch,
  })
    .then(async (response) => {
      const text = await response.text();
      if (!response.ok) console.error(response.status + "> " + response.statusText);
      if (text.indexOf(STREAM)) answer = { ...parsed(text), status: response.status };
      else text.replace(/\$\{transport_url\}/g, server).split("\n\n").slice(0, -1).forEach(obey);
      isOver = 1;
      push();
    })
    // The browser has told why on its console.
    .catch(() => {});
};

/** What the page is like, and what the tag manager's data layer of this container holds. */
const look = (container: string): Values =>
  (page.dataTagData = {
    document: { characterSet: html.characterSet },
    innerWidth: page.innerWidth,
    innerHeight: page.innerHeight,
    screen: { width: screen.width, height: screen.height },
    // Asked for a name of no parts, it gives everything.
    dataModel: page.google_tag_manager[container].dataLayer.get({ split: () => [] }),
  });

Object.assign(page, {
  dataTagSendData: send,
  dataTagGetData: look,
  dataTagMD5: md5,
  dataTag256: sha256,
  dataTagParseResponse: parsed,
  dataTagJsSHA: JsSha,
});

start();
