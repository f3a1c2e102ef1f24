// Events that pages need not send themselves, named as GA4's enhanced measurement names them. Each can be switched off in the configuration.
import { add } from "./delivery";
import { browser, commands, config, guarded, hooks, html, mayStore, on, page, spot, starts, type Values } from "./core";
import { address, isOutbound } from "./site";

/** Records an event unless this option is off. */
export const say = (option: string, name: string, params?: Values): unknown =>
  config[option] != false && commands.event!(name, params);

// ── Engagement: how long the page was in front, and had the focus ──

let since = 0;
let engaged = 0;

const tick = (): void => {
  const time = performance.now();
  engaged += since && time - since;
  since = html.visibilityState == "visible" && html.hasFocus() ? time : 0;
};

hooks.push((params, name) => {
  if (name == "page_view") setTimeout(guarded(searched));
  tick();
  const whole = engaged | 0;
  if (whole) params.engagement_time_msec = whole;
  engaged -= whole;
});

/** What is told when the visitor turns away. */
export const partings: (() => void)[] = [];

const turned = (event: Event): void => {
  tick();
  if (event.type == "pagehide") since = 0;
  if (since) return;
  if (engaged > 999) say("engagement", "user_engagement");
  partings.forEach((tell) => tell());
};

// ── Pages ──

let isScrolled: unknown;

const searched = (): void => {
  const term = /[?&](?:q|s|search|query|keyword)=([^&#]+)/.exec(location.href);
  if (term) say("search", "view_search_results", { search_term: decodeURIComponent(term[1]!.replace(/\+/g, " ")) });
};

/** A page without a load: its referrer is the page before. */
const moved = guarded(() => {
  // A mere place on the page is none.
  const plain = (url: string) => url.replace(/#(?![!/]).*/, "");
  const before = spot.page_location;
  spot.page_location = address();
  if (config.history == false || plain(before) == plain(spot.page_location)) return;
  spot.page_referrer = before;
  isScrolled = 0;
  // The page sets its title after this.
  setTimeout(guarded(() => say("send_page_view", "page_view")));
});

// ── Links, forms, videos ──

const FILE = /\.(pdf|xlsx?|docx?|txt|rtf|csv|exe|key|pp[st]x?|7z|pkg|rar|gz|zip|avi|mov|mp4|mpe?g|wmv|midi?|mp3|wav|wma)$/i;

const clicked = ({ target, button }: any): void => {
  const link = target.closest("a[href]");
  if (!link || button > 1) return;
  const params = { link_id: link.id, link_classes: link.className, link_url: link.href, link_domain: link.hostname };
  const file = FILE.exec(link.pathname);
  if (file) {
    say("downloads", "file_download", {
      ...params,
      file_name: link.pathname,
      file_extension: file[1],
      link_text: link.innerText,
    });
  }
  if (!link.protocol.indexOf("http") && isOutbound(link.hostname)) say("clicks", "click", { ...params, outbound: "true" });
};

const begun = new Map<any, number>();

const filled = ({ type, target, submitter }: any): void => {
  const form = target.form || target;
  const isSubmit = type == "submit";
  if (!form.elements || (!isSubmit && begun.has(form))) return;
  begun.set(form, 1);
  const of = (name: string) => form.getAttribute(name) || "";
  say("forms", isSubmit ? "form_submit" : "form_start", {
    form_id: of("id"),
    form_name: of("name"),
    form_destination: new URL(of("action"), location.href).href,
    form_submit_text: isSubmit && submitter ? submitter.innerText || submitter.value : undefined,
  });
};

const played = ({ type, target }: any): void => {
  const { currentTime, duration } = target;
  if (!target.videoWidth || !(duration < 1e6)) return;
  const { top, bottom } = target.getBoundingClientRect();
  const tell = (name: string, video_percent: number) => {
    begun.set(target, video_percent + 1);
    say("video", "video_" + name, {
      video_current_time: currentTime | 0,
      video_duration: duration | 0,
      video_percent,
      video_provider: "html5",
      video_title: target.title,
      video_url: target.currentSrc,
      visible: bottom > 0 && top < page.innerHeight,
    });
  };
  const mark = () => begun.get(target) || 0;
  if (!mark()) tell("start", 0);
  [10, 25, 50, 75].forEach((percent) => {
    if (mark() <= percent && currentTime * 100 >= percent * duration) tell("progress", percent);
  });
  if (type == "ended") {
    tell("complete", 100);
    begun.delete(target);
  }
};

starts.push(() => {
  spot.page_location = address();
  spot.screen_resolution = screen.width + "x" + screen.height;
  spot.language = browser.language;
  tick();
  on(page, "focus blur pageshow pagehide", turned);
  on(html, "visibilitychange", turned);
  on(page, "popstate", moved);
  ["pushState", "replaceState"].forEach((name) => {
    const original = (history as any)[name];
    (history as any)[name] = function (...args: any[]) {
      original.apply(this, args);
      moved();
    };
  });
  on(html, "scroll", () => {
    if (!isScrolled && page.scrollY + page.innerHeight >= html.documentElement.scrollHeight * 0.9) {
      isScrolled = 1;
      say("scroll", "scroll", { percent_scrolled: 90 });
    }
  });
  on(html, "click auxclick", clicked);
  on(html, "change submit", filled);
  on(html, "play timeupdate ended", played);
  on(page, "error unhandledrejection", ({ message, reason }) => {
    if (config.errors && (message || reason)) commands.event!("exception", { description: "" + (message || reason), fatal: false });
  });
  if (browser.userAgentData && config.hints != false && mayStore()) {
    browser.userAgentData
      .getHighEntropyValues(["architecture", "bitness", "fullVersionList", "model", "platformVersion", "wow64"])
      .then((hints: Values) => add(',"client_hints":' + JSON.stringify(hints)));
  }
});
