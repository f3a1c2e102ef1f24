// The calls of docs/tracker.md are ones that the types allow, and mistakes are ones that they forbid. Checked by tsc, never run.
/// <reference path="../index.d.ts" />
/// <reference path="../v6.d.ts" />

rs("config", "1");
rs("config", 1, { endpoint: "https://collect.example.com", domains: ["shop.example"], denied: "hold", scroll: false });
rs("event", "purchase", { transaction_id: "T1", currency: "EUR", value: 19, items: [{ item_id: "m1", price: 9.5, colour: "red" }] });
rs("event", "whatever", { a: 1, b: true, c: null });
rs("set", { page_group: "shop" });
rs("user", "u-7", { tier: "gold" });
rs("user", null);
rs("consent", "default", { analytics_storage: "denied", wait_for_update: 500 });
rs("consent", "update", { analytics_storage: "granted" });
dataTagSendData({}, "https://collect.example.com", "/api/v1/streaming/1", "answered", "dataLayer", false, true);
const hash: string = dataTag256("a", "B64") + dataTagMD5("a") + dataTagGetData("GTM-1").innerWidth;

// @ts-expect-error
rs("configure", "1");
// @ts-expect-error
rs("config", "1", { scrol: false });
// @ts-expect-error
rs("consent", "update", { analytics_storage: "yes" });
// @ts-expect-error
rs("event", "purchase", { items: [{ price: "9.50" }] });
// @ts-expect-error
dataTag256("a", "UTF8");

export { hash };
