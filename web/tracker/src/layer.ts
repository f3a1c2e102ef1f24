// Reads a `dataLayer` as GA4 and its tag manager have it: events with `ecommerce`, and calls of `gtag`.
import { commands, config, guarded, page, starts } from "./core";

const read = guarded((entry) => {
  const { event, ecommerce, ...rest } = entry;
  const [name, a, b] = Array.from(entry) as any;
  if (/^(event|consent)$/.test(name)) commands[name]!(a, b);
  else if (name == "set" && b) commands.user!(b.user_id, b);
  else if (event && event.indexOf("gtm.")) commands.event!(event, { ...rest, ...ecommerce });
});

starts.push(() => {
  if (!config.data_layer) return;
  const layer = (page[config.data_layer] = page[config.data_layer] || []);
  layer.forEach(read);
  const push = layer.push;
  layer.push = (...entries: any[]) => {
    entries.forEach(read);
    return push.apply(layer, entries);
  };
});
