// The script that tags load, as far as a tag can tell: the functions that it calls, and what they were given.
import { createHash } from "node:crypto";

/** The script that the tag loads, as far as the tag can tell. */
export function script(page) {
  const hash = (text, kind, encoding) => createHash(kind).update(text).digest(encoding);
  return (window) => {
    window.dataTagGetData = (containerId) => ({
      document: { characterSet: page.encoding },
      innerWidth: page.viewport.width,
      innerHeight: page.viewport.height,
      screen: page.screen,
      dataModel: containerId === page.containerId ? page.dataLayer : null,
    });
    window.dataTagMD5 = (text) => hash(text, "md5", "hex");
    window.dataTag256 = (text, encoding) => hash(text, "sha256", { B64: "base64", HEX: "hex" }[encoding]);
    window.dataTagSendData = (data, server, path, event, variable, waitForCookies, useFetch) => {
      page.sent.push({ body: JSON.stringify(data), url: server + path, event, variable, waitForCookies, useFetch });
    };
  };
}
