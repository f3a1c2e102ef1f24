// Types of the tracker's calls: docs/tracker.md.

declare global {
  /** What a parameter or property can be. */
  type RsValue = string | number | boolean | null | undefined;

  /** An item of e-commerce, with GA4's names. Others become `item_params`. */
  interface RsItem {
    item_id?: string;
    item_name?: string;
    affiliation?: string;
    coupon?: string;
    discount?: number;
    index?: number;
    item_brand?: string;
    item_category?: string;
    item_category2?: string;
    item_category3?: string;
    item_category4?: string;
    item_category5?: string;
    item_list_id?: string;
    item_list_name?: string;
    item_variant?: string;
    location_id?: string;
    price?: number;
    promotion_id?: string;
    promotion_name?: string;
    creative_name?: string;
    creative_slot?: string;
    quantity?: number;
    [name: string]: RsValue;
  }

  /** Parameters of an event. */
  interface RsParams {
    items?: RsItem[];
    currency?: string;
    value?: number;
    transaction_id?: string;
    [name: string]: RsValue | RsItem[];
  }

  /** Names that GA4 recommends; any other may be used. */
  type RsEventName =
    | "add_payment_info"
    | "add_shipping_info"
    | "add_to_cart"
    | "add_to_wishlist"
    | "begin_checkout"
    | "generate_lead"
    | "login"
    | "page_view"
    | "purchase"
    | "refund"
    | "remove_from_cart"
    | "search"
    | "select_content"
    | "select_item"
    | "select_promotion"
    | "share"
    | "sign_up"
    | "view_cart"
    | "view_item"
    | "view_item_list"
    | "view_promotion"
    | (string & {});

  type RsConsentState = "granted" | "denied";

  /** States of Google's consent mode. */
  interface RsConsent {
    ad_storage?: RsConsentState;
    ad_user_data?: RsConsentState;
    ad_personalization?: RsConsentState;
    analytics_storage?: RsConsentState;
    functionality_storage?: RsConsentState;
    personalization_storage?: RsConsentState;
    security_storage?: RsConsentState;
  }

  interface RsOptions {
    /** The collector, such as `https://collect.example.com`; by default where the script came from. */
    endpoint?: string;
    /** Where the collector asks for one. */
    write_key?: string;
    /** `omit` sends no cookies. */
    credentials?: RequestCredentials;
    send_page_view?: boolean;
    history?: boolean;
    search?: boolean;
    scroll?: boolean;
    clicks?: boolean;
    downloads?: boolean;
    forms?: boolean;
    video?: boolean;
    engagement?: boolean;
    vitals?: boolean;
    hints?: boolean;
    /** Errors of scripts; off by default. */
    errors?: boolean;
    /** Name of a data layer that is read. */
    data_layer?: string;
    /** Your domains between which visitors go on being the same. */
    domains?: string[];
    /** What becomes of events of who denies. */
    denied?: "send" | "hold" | "drop";
  }

  interface Rs {
    (command: "config", stream: string | number, options?: RsOptions): void;
    (command: "event", name: RsEventName, params?: RsParams): void;
    (command: "set", params: Record<string, RsValue>): void;
    (command: "user", id: string | null | undefined, properties?: Record<string, RsValue>): void;
    (command: "consent", kind: "default", states: RsConsent & { wait_for_update?: number }): void;
    (command: "consent", kind: "update", states: RsConsent): void;
    /** Calls from before the script was there; 0 behind that. */
    q?: unknown[] | 0;
  }

  interface Window {
    rs: Rs;
  }
  const rs: Rs;
}

export {};
