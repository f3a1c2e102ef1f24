___TERMS_OF_SERVICE___

By creating or modifying this file you agree to Google Tag Manager's Community
Template Gallery Developer Terms of Service available at
https://developers.google.com/tag-manager/gallery-tos (or such other URL as
Google may provide), as modified from time to time.


___INFO___

{
  "type": "TAG",
  "id": "cvt_temp_public_id",
  "version": 1,
  "securityGroups": [],
  "displayName": "Real Streaming",
  "categories": [
    "ANALYTICS",
    "CONVERSIONS"
  ],
  "brand": {
    "id": "brand_dummy",
    "displayName": "Real Streaming"
  },
  "description": "Sends events to your own Real Streaming collector: what is known of the page, the data layer, e-commerce and your own fields, with the visitor's consent.",
  "containerContexts": [
    "WEB"
  ]
}


___TEMPLATE_PARAMETERS___

[
  {
    "type": "TEXT",
    "name": "gtm_server_domain",
    "displayName": "Server URL",
    "simpleValueType": true,
    "help": "Where your collector answers, such as \u003ci\u003ehttps://collect.example.com\u003c/i\u003e. It must answer to https.",
    "valueHint": "https://collect.example.com",
    "valueValidators": [
      {
        "type": "NON_EMPTY"
      }
    ],
    "alwaysInSummary": true
  },
  {
    "type": "TEXT",
    "name": "stream_id",
    "displayName": "Stream",
    "simpleValueType": true,
    "help": "The stream that the events belong to: the last part of the path to which they are sent. Where a variable gives nothing, the number behind \u003ci\u003e/streaming/\u003c/i\u003e in the page's path counts, then \u003ci\u003estream_id\u003c/i\u003e of the data layer.",
    "valueValidators": [
      {
        "type": "NON_EMPTY"
      }
    ],
    "alwaysInSummary": true
  },
  {
    "type": "RADIO",
    "name": "event_type",
    "displayName": "Event",
    "radioItems": [
      {
        "value": "standard",
        "displayValue": "One of the usual events",
        "subParams": [
          {
            "type": "SELECT",
            "name": "event_name_standard",
            "macrosInSelect": false,
            "selectItems": [
              {
                "value": "page_view",
                "displayValue": "page_view"
              },
              {
                "value": "add_payment_info",
                "displayValue": "add_payment_info"
              },
              {
                "value": "add_to_cart",
                "displayValue": "add_to_cart"
              },
              {
                "value": "add_to_wishlist",
                "displayValue": "add_to_wishlist"
              },
              {
                "value": "begin_checkout",
                "displayValue": "begin_checkout"
              },
              {
                "value": "contact",
                "displayValue": "contact"
              },
              {
                "value": "customize_product",
                "displayValue": "customize_product"
              },
              {
                "value": "donate",
                "displayValue": "donate"
              },
              {
                "value": "exception",
                "displayValue": "exception"
              },
              {
                "value": "find_location",
                "displayValue": "find_location"
              },
              {
                "value": "generate_lead",
                "displayValue": "generate_lead"
              },
              {
                "value": "join_group",
                "displayValue": "join_group"
              },
              {
                "value": "login",
                "displayValue": "login"
              },
              {
                "value": "purchase",
                "displayValue": "purchase"
              },
              {
                "value": "refund",
                "displayValue": "refund"
              },
              {
                "value": "schedule",
                "displayValue": "schedule"
              },
              {
                "value": "search",
                "displayValue": "search"
              },
              {
                "value": "select_content",
                "displayValue": "select_content"
              },
              {
                "value": "share",
                "displayValue": "share"
              },
              {
                "value": "sign_up",
                "displayValue": "sign_up"
              },
              {
                "value": "start_trial",
                "displayValue": "start_trial"
              },
              {
                "value": "submit_application",
                "displayValue": "submit_application"
              },
              {
                "value": "subscribe",
                "displayValue": "subscribe"
              },
              {
                "value": "view_item",
                "displayValue": "view_item"
              },
              {
                "value": "view_item_list",
                "displayValue": "view_item_list"
              },
              {
                "value": "view_search_results",
                "displayValue": "view_search_results"
              }
            ],
            "simpleValueType": true,
            "defaultValue": "page_view",
            "alwaysInSummary": true
          }
        ]
      },
      {
        "value": "custom",
        "displayValue": "Another",
        "subParams": [
          {
            "type": "TEXT",
            "name": "event_name_custom",
            "simpleValueType": true,
            "valueHint": "newsletter_opened",
            "alwaysInSummary": true
          }
        ]
      }
    ],
    "simpleValueType": true,
    "defaultValue": "standard"
  },
  {
    "type": "CHECKBOX",
    "name": "add_common",
    "checkboxText": "Send what is known of the page",
    "simpleValueType": true,
    "help": "Adds the event parameters page_location, page_hostname, page_path, page_referrer, page_title, page_encoding, screen_resolution and viewport_size. A row of the same name below counts more.",
    "defaultValue": true
  },
  {
    "type": "CHECKBOX",
    "name": "add_data_layer",
    "checkboxText": "Send all of the data layer",
    "simpleValueType": true,
    "help": "Each key of the data layer becomes an event parameter; objects as JSON. Of \u003ci\u003eecommerce\u003c/i\u003e and \u003ci\u003eitems\u003c/i\u003e in GA4's form the collector makes its e-commerce columns."
  },
  {
    "type": "CHECKBOX",
    "name": "add_ecommerce",
    "checkboxText": "Send e-commerce from the data layer",
    "simpleValueType": true,
    "help": "Takes \u003ci\u003eecommerce\u003c/i\u003e of the data layer, in GA4's form, to the e-commerce columns, and nothing else of it."
  },
  {
    "type": "CHECKBOX",
    "name": "add_common_cookie",
    "checkboxText": "Send cookies of advertisers",
    "simpleValueType": true,
    "help": "Adds \u003ci\u003ecommon_cookie\u003c/i\u003e with the cookies of well-known advertisers that there are, if the visitor allows ad_storage and analytics_storage. The collector does not store it."
  },
  {
    "type": "GROUP",
    "name": "consent",
    "displayName": "Consent",
    "groupStyle": "ZIPPY_OPEN",
    "subParams": [
      {
        "type": "CHECKBOX",
        "name": "add_consent_state",
        "checkboxText": "Send the state of consent, always",
        "simpleValueType": true,
        "help": "Adds \u003ci\u003eprivacy_info\u003c/i\u003e with the seven states of the consent mode. Where the visitor denied one of them it is sent in any case, so that the collector heeds it."
      },
      {
        "type": "SELECT",
        "name": "when_denied",
        "displayName": "Where analytics_storage is denied",
        "macrosInSelect": false,
        "selectItems": [
          {
            "value": "send",
            "displayValue": "Send the event, without user data, and keep nothing in the browser"
          },
          {
            "value": "wait",
            "displayValue": "Wait until the visitor allows it on this page"
          },
          {
            "value": "drop",
            "displayValue": "Send nothing"
          }
        ],
        "simpleValueType": true,
        "defaultValue": "send"
      }
    ]
  },
  {
    "type": "GROUP",
    "name": "custom",
    "displayName": "Event data",
    "groupStyle": "ZIPPY_CLOSED",
    "subParams": [
      {
        "type": "SIMPLE_TABLE",
        "name": "custom_data",
        "displayName": "",
        "simpleTableColumns": [
          {
            "defaultValue": "",
            "displayName": "Name",
            "name": "name",
            "type": "TEXT",
            "valueValidators": [
              {
                "type": "NON_EMPTY"
              }
            ]
          },
          {
            "defaultValue": "",
            "displayName": "Value",
            "name": "value",
            "type": "TEXT"
          },
          {
            "defaultValue": "none",
            "displayName": "Sent",
            "name": "transformation",
            "type": "SELECT",
            "selectItems": [
              {
                "value": "none",
                "displayValue": "As it is"
              },
              {
                "value": "trim",
                "displayValue": "Without spaces around it"
              },
              {
                "value": "to_lower_case",
                "displayValue": "In lower case, without spaces around it"
              },
              {
                "value": "md5",
                "displayValue": "MD5, hexadecimal"
              },
              {
                "value": "base64",
                "displayValue": "Base64"
              },
              {
                "value": "sha256base64",
                "displayValue": "SHA-256, Base64"
              },
              {
                "value": "sha256hex",
                "displayValue": "SHA-256, hexadecimal"
              }
            ],
            "valueValidators": [
              {
                "type": "NON_EMPTY"
              }
            ]
          },
          {
            "defaultValue": "none",
            "displayName": "Also kept in the browser",
            "name": "store",
            "type": "SELECT",
            "selectItems": [
              {
                "value": "none",
                "displayValue": "Nowhere"
              },
              {
                "value": "all",
                "displayValue": "In both"
              },
              {
                "value": "localStorage",
                "displayValue": "In local storage"
              },
              {
                "value": "cookies",
                "displayValue": "In a cookie"
              }
            ],
            "valueValidators": [
              {
                "type": "NON_EMPTY"
              }
            ]
          }
        ]
      }
    ]
  },
  {
    "type": "GROUP",
    "name": "user",
    "displayName": "User data",
    "groupStyle": "ZIPPY_CLOSED",
    "subParams": [
      {
        "type": "SIMPLE_TABLE",
        "name": "user_data",
        "displayName": "",
        "simpleTableColumns": [
          {
            "defaultValue": "email_address",
            "displayName": "Name",
            "name": "name",
            "type": "SELECT",
            "valueValidators": [
              {
                "type": "NON_EMPTY"
              }
            ],
            "isUnique": true,
            "selectItems": [
              {
                "value": "email_address",
                "displayValue": "E-mail address"
              },
              {
                "value": "phone_number",
                "displayValue": "Phone number"
              },
              {
                "value": "first_name",
                "displayValue": "First name"
              },
              {
                "value": "last_name",
                "displayValue": "Last name"
              },
              {
                "value": "gender",
                "displayValue": "Gender"
              },
              {
                "value": "db",
                "displayValue": "Date of birth"
              },
              {
                "value": "street",
                "displayValue": "Street"
              },
              {
                "value": "city",
                "displayValue": "City"
              },
              {
                "value": "region",
                "displayValue": "Region"
              },
              {
                "value": "postal_code",
                "displayValue": "Postal code"
              },
              {
                "value": "country",
                "displayValue": "Country"
              },
              {
                "value": "user_id",
                "displayValue": "User id"
              }
            ]
          },
          {
            "defaultValue": "",
            "displayName": "Value",
            "name": "value",
            "type": "TEXT"
          },
          {
            "defaultValue": "none",
            "displayName": "Sent",
            "name": "transformation",
            "type": "SELECT",
            "selectItems": [
              {
                "value": "none",
                "displayValue": "As it is"
              },
              {
                "value": "trim",
                "displayValue": "Without spaces around it"
              },
              {
                "value": "to_lower_case",
                "displayValue": "In lower case, without spaces around it"
              },
              {
                "value": "md5",
                "displayValue": "MD5, hexadecimal"
              },
              {
                "value": "base64",
                "displayValue": "Base64"
              },
              {
                "value": "sha256base64",
                "displayValue": "SHA-256, Base64"
              },
              {
                "value": "sha256hex",
                "displayValue": "SHA-256, hexadecimal"
              }
            ],
            "valueValidators": [
              {
                "type": "NON_EMPTY"
              }
            ]
          },
          {
            "defaultValue": "none",
            "displayName": "Also kept in the browser",
            "name": "store",
            "type": "SELECT",
            "selectItems": [
              {
                "value": "none",
                "displayValue": "Nowhere"
              },
              {
                "value": "all",
                "displayValue": "In both"
              },
              {
                "value": "localStorage",
                "displayValue": "In local storage"
              },
              {
                "value": "cookies",
                "displayValue": "In a cookie"
              }
            ],
            "valueValidators": [
              {
                "type": "NON_EMPTY"
              }
            ]
          }
        ]
      }
    ]
  },
  {
    "type": "GROUP",
    "name": "answer",
    "displayName": "Answer",
    "groupStyle": "ZIPPY_CLOSED",
    "subParams": [
      {
        "type": "CHECKBOX",
        "name": "dataLayerEventPush",
        "checkboxText": "Push the collector's answer to the data layer",
        "simpleValueType": true
      },
      {
        "type": "TEXT",
        "name": "dataLayerEventName",
        "displayName": "Name of that event",
        "simpleValueType": true,
        "valueValidators": [
          {
            "type": "NON_EMPTY"
          }
        ],
        "enablingConditions": [
          {
            "paramName": "dataLayerEventPush",
            "paramValue": true,
            "type": "EQUALS"
          }
        ]
      },
      {
        "type": "TEXT",
        "name": "dataLayerVariableName",
        "displayName": "Name of the data layer",
        "simpleValueType": true,
        "defaultValue": "dataLayer",
        "valueValidators": [
          {
            "type": "NON_EMPTY"
          }
        ],
        "enablingConditions": [
          {
            "paramName": "dataLayerEventPush",
            "paramValue": true,
            "type": "EQUALS"
          }
        ]
      }
    ]
  },
  {
    "type": "GROUP",
    "name": "settings",
    "displayName": "Settings",
    "groupStyle": "ZIPPY_CLOSED",
    "subParams": [
      {
        "type": "TEXT",
        "name": "data_tag_load_script_url",
        "displayName": "Script URL",
        "simpleValueType": true,
        "help": "Where the script is that sends the event. Empty: \u003ci\u003e/static/v6.js\u003c/i\u003e of your collector. The permission \u003cb\u003eInjects scripts\u003c/b\u003e of the template must allow it.",
        "valueHint": "https://collect.example.com/static/v6.js",
        "valueValidators": [
          {
            "type": "REGEX",
            "args": [
              "^(https?://.*\\.js)?$"
            ],
            "errorMessage": "An address that begins with https:// and ends with .js, or nothing"
          }
        ]
      },
      {
        "type": "CHECKBOX",
        "name": "useFetchInsteadOfXHR",
        "checkboxText": "Send by fetch, which goes on when the page is left",
        "simpleValueType": true,
        "defaultValue": true
      },
      {
        "type": "SELECT",
        "name": "request_type",
        "displayName": "Method",
        "macrosInSelect": false,
        "selectItems": [
          {
            "value": "post",
            "displayValue": "POST"
          }
        ],
        "simpleValueType": true,
        "defaultValue": "post"
      },
      {
        "type": "TEXT",
        "name": "protocol_version",
        "displayName": "Protocol version",
        "simpleValueType": true,
        "defaultValue": 2,
        "valueValidators": [
          {
            "type": "NON_EMPTY"
          }
        ]
      },
      {
        "type": "CHECKBOX",
        "name": "addGaParameters",
        "checkboxText": "Add parameters of Google Analytics",
        "simpleValueType": true,
        "help": "Members that begin with \u003ci\u003ex-ga-\u003c/i\u003e. The collector does not store them."
      },
      {
        "type": "TEXT",
        "name": "gaId",
        "displayName": "Measurement ID",
        "simpleValueType": true,
        "valueHint": "G-XXXXXXXXXX",
        "valueValidators": [
          {
            "type": "NON_EMPTY"
          }
        ],
        "enablingConditions": [
          {
            "paramName": "addGaParameters",
            "paramValue": true,
            "type": "EQUALS"
          }
        ]
      },
      {
        "type": "CHECKBOX",
        "name": "richsstsse",
        "checkboxText": "Answer as a stream",
        "simpleValueType": true,
        "help": "Without effect: it is here for tags that were set up with it."
      },
      {
        "type": "CHECKBOX",
        "name": "waitForCookies",
        "checkboxText": "Wait for cookies of the answer",
        "simpleValueType": true,
        "help": "Counts only where something in front of the collector answers with pixels."
      }
    ]
  }
]


___SANDBOXED_JS_FOR_WEB_TEMPLATE___

// Maps what Tag Manager knows of an event to the body that Real Streaming takes, and has the collector's script
// send it. What a visitor denied is heeded before anything is read or kept.

const addConsentListener = require('addConsentListener');
const callInWindow = require('callInWindow');
const copyFromDataLayer = require('copyFromDataLayer');
const copyFromWindow = require('copyFromWindow');
const encodeUriComponent = require('encodeUriComponent');
const generateRandom = require('generateRandom');
const getContainerVersion = require('getContainerVersion');
const getCookieValues = require('getCookieValues');
const getReferrerUrl = require('getReferrerUrl');
const getTimestampMillis = require('getTimestampMillis');
const getType = require('getType');
const getUrl = require('getUrl');
const injectScript = require('injectScript');
const isConsentGranted = require('isConsentGranted');
const JSON = require('JSON');
const localStorage = require('localStorage');
const logToConsole = require('logToConsole');
const makeNumber = require('makeNumber');
const makeString = require('makeString');
const Math = require('Math');
const Object = require('Object');
const queryPermission = require('queryPermission');
const readCharacterSet = require('readCharacterSet');
const readTitle = require('readTitle');
const setCookie = require('setCookie');
const setInWindow = require('setInWindow');
const templateStorage = require('templateStorage');
const toBase64 = require('toBase64');

const PREVIEW_HOST = 'gtm-msr.appspot.com';
const ELSEWHERE = 'https://storage.googleapis.com/inject_script/inject/v6.js';
const VISITOR = '__uid__';
const TRACKER = '_rs';
const STORE = 'my_streaming';
const MAX_EXACT = 9007199254740991;

const CONSENT_TYPES = [
  'ad_storage', 'ad_user_data', 'ad_personalization', 'analytics_storage',
  'functionality_storage', 'personalization_storage', 'security_storage'
];

const COMMON_COOKIES = [
  '_fbc', '_fbp', '_gtmeec', 'ttclid', '_ttp', '_epik', '_scid', '_scclid', 'taboola_cid',
  'awin_awc', 'awin_sn_awc', 'awin_source',
  'rakuten_site_id', 'rakuten_time_entered', 'rakuten_ran_mid', 'rakuten_ran_eaid', 'rakuten_ran_site_id',
  'klaviyo_email', 'klaviyo_kx', 'klaviyo_viewed_items',
  'outbrain_cid', 'wg_cid', 'ps_id', 'uet_msclkid', '_uetmsclkid', 'uet_vid', '_uetvid'
];

// Members of ecommerce and items that are numbers; the collector refuses an event where they are something else.
const NUMBERS = [
  'value', 'tax', 'shipping', 'total_item_quantity', 'unique_items',
  'price', 'quantity', 'discount', 'purchase_revenue', 'refund_value', 'shipping_value', 'tax_value',
  'item_revenue', 'item_refund', 'price_in_usd', 'item_revenue_in_usd', 'item_refund_in_usd',
  'purchase_revenue_in_usd', 'refund_value_in_usd', 'shipping_value_in_usd', 'tax_value_in_usd'
];
const WHOLE_NUMBERS = ['quantity', 'total_item_quantity', 'unique_items'];

const log = function(what) {
  logToConsole('Real Streaming: ' + what);
};

const failed = function(why) {
  log(why);
  data.gtmOnFailure();
};

const isMissing = function(value) {
  const type = getType(value);
  return type === 'undefined' || type === 'null';
};

const isCompound = function(value) {
  const type = getType(value);
  return type === 'object' || type === 'array';
};

// Any value as text; objects and lists as JSON.
const textOf = function(value) {
  const plain = isCompound(value) ? JSON.stringify(value) : value;
  return isMissing(plain) ? '' : makeString(plain);
};

const isDigits = function(text) {
  for (let i = 0; i < text.length; i++) {
    if ('0123456789'.indexOf(text.charAt(i)) < 0) return false;
  }
  return text.length > 0;
};

// Digits, with a sign before them or not, with a point between them or not.
const isNumeric = function(text) {
  const parts = (text.charAt(0) === '-' ? text.slice(1) : text).split('.');
  return parts.length <= 2 && parts.every(isDigits);
};

const isExactWhole = function(number) {
  return Math.floor(number) === number && Math.abs(number) <= MAX_EXACT;
};

// The number that a text writes, if nothing of the text is lost by it: no leading zero, no digit too many.
const numberIn = function(text) {
  if (!isNumeric(text)) return undefined;
  const number = makeNumber(text);
  if (text.indexOf('.') < 0) return makeString(number) === text && isExactWhole(number) ? number : undefined;
  const magnitude = text.charAt(0) === '-' ? text.slice(1) : text;
  const hasLeadingZero = magnitude.charAt(0) === '0' && magnitude.charAt(1) !== '.';
  return hasLeadingZero || magnitude.length > 16 ? undefined : number;
};

// A value in the slot of its type; undefined if there is nothing to send.
const typed = function(value) {
  const type = getType(value);
  if (type === 'string') {
    const number = numberIn(value);
    if (isMissing(number)) return {string_value: value};
    return value.indexOf('.') < 0 ? {int_value: number} : {float_value: number};
  }
  if (type === 'number') {
    if (value - value !== 0) return undefined;
    return isExactWhole(value) ? {int_value: value} : {float_value: value};
  }
  const text = type === 'boolean' || isCompound(value) ? textOf(value) : '';
  return text === '' ? undefined : {string_value: text};
};

// A list of keys and values in the order in which keys came first; a later value takes the place of an earlier one.
const newList = function() {
  const keys = [];
  const entries = [];
  const put = function(key, value) {
    if (isMissing(value)) return;
    const place = keys.indexOf(key);
    if (place < 0) {
      keys.push(key);
      entries.push({key: key, value: value});
    } else {
      entries[place].value = value;
    }
  };
  return {
    put: put,
    putMissing: function(key, value) {
      if (keys.indexOf(key) < 0) put(key, value);
    },
    entries: entries
  };
};

const digits = function() {
  return makeString(generateRandom(100000000, 999999999));
};

const consentState = function() {
  const state = {};
  CONSENT_TYPES.forEach((type) => {
    state[type] = isConsentGranted(type);
  });
  return state;
};

// The number that this page keeps under a name in the window, made at first sight; other tags may share it.
const numberOfPage = function(name) {
  const known = copyFromWindow(name);
  if (!isMissing(known)) return makeString(known);
  const made = getTimestampMillis() + generateRandom(100000, 999999);
  setInWindow(name, made, true);
  return makeString(made);
};

// One id for each event of this page, the same however often it is sent.
const newEventId = function(path, eventName) {
  const gtmEvent = textOf(copyFromDataLayer('gtm.uniqueEventId'));
  const id = numberOfPage('gtmBrowserId') + '_' + numberOfPage('gtmPageLoadId') + (gtmEvent || '0');
  const given = templateStorage.getItem('ids') || {};
  const key = path + ' ' + eventName + ' ' + id;
  const count = (given[key] || 0) + 1;
  given[key] = count;
  templateStorage.setItem('ids', given);
  return count === 1 ? id : id + '.' + count;
};

const temporaryId = function() {
  const name = 'gtm_dataTagTempClientId';
  const known = copyFromWindow(name);
  if (!isMissing(known)) return known;
  const made = 'dcid.1.' + getTimestampMillis() + '.' + digits();
  setInWindow(name, made, true);
  return made;
};

// Who the visitor is, so that requests which are under way before the collector's first answer say the same, and so do those
// from which browsers leave the collector's cookie out: by a cookie that scripts can read, by the tracker's, or by what is kept here.
const visitorId = function() {
  const ofTracker = getCookieValues(TRACKER)[0];
  const known = getCookieValues(VISITOR)[0] || (ofTracker && ofTracker.split('~')[0]) ||
    localStorage.getItem(VISITOR) || templateStorage.getItem('visitor');
  if (known) return known;
  const made = getTimestampMillis() + '.' + digits() + '.' + digits() + '.' + digits();
  localStorage.setItem(VISITOR, made);
  templateStorage.setItem('visitor', made);
  return made;
};

const transformed = function(value, transformation) {
  if (isMissing(value) || isMissing(transformation) || transformation === 'none') return value;
  const text = textOf(value);
  const plain = text.trim();
  if (transformation === 'trim') return plain;
  if (transformation === 'to_lower_case') return plain.toLowerCase();
  if (plain === '') return undefined;
  if (transformation === 'base64') return toBase64(text);
  if (transformation === 'md5') return callInWindow('dataTagMD5', plain.toLowerCase());
  if (transformation === 'sha256base64') return callInWindow('dataTag256', plain.toLowerCase(), 'B64');
  if (transformation === 'sha256hex') return callInWindow('dataTag256', plain.toLowerCase(), 'HEX');
  return value;
};

// The rows of a table, transformed; those without name or value are left out.
const rowsOf = function(table) {
  return (table || []).map((row) => ({
    name: textOf(row.name).trim(),
    value: transformed(row.value, row.transformation),
    isDigest: ['md5', 'base64', 'sha256base64', 'sha256hex'].indexOf(row.transformation) >= 0,
    store: row.store
  })).filter((row) => row.name !== '' && !isMissing(row.value));
};

const store = function(rows) {
  const places = {localStorage: [], cookies: []};
  rows.forEach((row) => {
    if (row.store === 'all' || row.store === 'localStorage') places.localStorage.push(row);
    if (row.store === 'all' || row.store === 'cookies') places.cookies.push(row);
  });
  const merged = function(json, added) {
    const parsed = JSON.parse(json || '{}');
    const kept = getType(parsed) === 'object' ? parsed : {};
    added.forEach((row) => {
      kept[row.name] = row.value;
    });
    return JSON.stringify(kept);
  };
  if (places.localStorage.length > 0) {
    const json = merged(localStorage.getItem(STORE), places.localStorage);
    if (json) localStorage.setItem(STORE, json);
  }
  if (places.cookies.length > 0) {
    const json = merged(getCookieValues(STORE)[0], places.cookies);
    const isSecure = getUrl('protocol').indexOf('https') === 0;
    if (json) setCookie(STORE, json, {domain: 'auto', path: '/', secure: isSecure, samesite: isSecure ? 'none' : 'lax'});
  }
};

// An object of the shop with each member as the collector takes it.
const commerceObject = function(object) {
  const clean = {};
  Object.keys(object).forEach((name) => {
    const value = object[name];
    const type = getType(value);
    if (isMissing(value) || type === 'function' || name === 'items' || name === 'item_params') return;
    if (NUMBERS.indexOf(name) < 0) {
      clean[name] = textOf(value);
      return;
    }
    const text = textOf(value).trim();
    const number = type === 'number' ? value : (isNumeric(text) ? makeNumber(text) : undefined);
    if (isMissing(number) || number - number !== 0) return;
    if (WHOLE_NUMBERS.indexOf(name) < 0 || isExactWhole(number)) clean[name] = number;
  });
  return clean;
};

const commerceItems = function(list) {
  return list.filter((item) => getType(item) === 'object').map(commerceObject);
};

const putCommerce = function(payload, ecommerce) {
  if (getType(ecommerce) !== 'object') return;
  payload.ecommerce = commerceObject(ecommerce);
  if (getType(ecommerce.items) === 'array') payload.items = commerceItems(ecommerce.items);
};

// Puts what is named into the event: e-commerce in its own place, all else as a parameter.
const putAll = function(payload, params, name, value) {
  if (name === 'ecommerce' && getType(value) === 'object') {
    putCommerce(payload, value);
  } else if (name === 'items' && getType(value) === 'array') {
    payload.items = commerceItems(value);
  } else {
    params.put(name, typed(value));
  }
};

// What the page was when the tag fired.
const snapshot = function() {
  return {
    firedAt: getTimestampMillis(),
    location: getUrl(),
    hostname: getUrl('host'),
    path: getUrl('path'),
    referrer: getReferrerUrl(),
    title: readTitle(),
    encoding: readCharacterSet(),
    ecommerce: data.add_ecommerce ? copyFromDataLayer('ecommerce') : undefined
  };
};

const putPage = function(params, page, browser) {
  const size = function(width, height) {
    return isMissing(width) || isMissing(height) ? undefined : {string_value: width + 'x' + height};
  };
  const screen = browser.screen || {};
  params.putMissing('page_location', {string_value: textOf(page.location)});
  params.putMissing('page_hostname', {string_value: textOf(page.hostname)});
  params.putMissing('page_path', {string_value: textOf(page.path)});
  params.putMissing('page_referrer', {string_value: textOf(page.referrer)});
  params.putMissing('page_title', {string_value: textOf(page.title)});
  params.putMissing('page_encoding', {string_value: textOf(page.encoding)});
  params.putMissing('screen_resolution', size(screen.width, screen.height));
  params.putMissing('viewport_size', size(browser.innerWidth, browser.innerHeight));
};

const commonCookies = function() {
  const found = {};
  COMMON_COOKIES.forEach((name) => {
    const value = getCookieValues(name)[0];
    if (value) found[name] = value;
  });
  return Object.keys(found).length > 0 ? found : undefined;
};

const payloadOf = function(event, page, consent, browser) {
  const mayKeep = consent.analytics_storage;
  const isDenied = CONSENT_TYPES.some((type) => !consent[type]);
  const version = makeNumber(data.protocol_version);
  const payload = {event_name: event.name, v: version > 0 ? version : 2, event_id: event.id};
  const params = newList();
  const properties = newList();
  const custom = rowsOf(data.custom_data);
  const user = mayKeep ? rowsOf(data.user_data) : [];

  putCommerce(payload, page.ecommerce);
  if (data.add_data_layer) {
    const model = getType(browser.dataModel) === 'object' ? browser.dataModel : {};
    Object.keys(model).forEach((name) => {
      if (name !== 'gtm' && name !== 'gtm.element') putAll(payload, params, name, model[name]);
    });
  }
  custom.forEach((row) => {
    if (row.isDigest) params.put(row.name, {string_value: row.value});
    else putAll(payload, params, row.name, row.value);
  });
  user.forEach((row) => {
    const text = textOf(row.value);
    params.put(row.name, {string_value: text});
    properties.put(row.name, {string_value: text});
    if (row.name === 'user_id' && text !== '') payload.user_id = text;
  });
  if (data.add_common) putPage(params, page, browser);
  if (mayKeep) store(custom.concat(user));

  payload.event_params = params.entries.length > 0 ? params.entries : null;
  payload.user_properties = properties.entries.length > 0 ? properties.entries : null;
  if (data.add_consent_state || isDenied) payload.privacy_info = consent;
  if (event.waited) payload.timestamp_micros = page.firedAt * 1000;
  if (data.add_common_cookie && mayKeep && consent.ad_storage) payload.common_cookie = commonCookies();
  if (mayKeep) {
    payload.client_id = visitorId();
    payload._dcid_temp = temporaryId();
  }
  if (data.addGaParameters) {
    payload['x-ga-measurement_id'] = data.gaId;
    payload['x-ga-page_id'] = page.firedAt;
    payload['x-ga-mp2-richsstsse'] = '';
    payload['x-ga-mp2-seg'] = 1;
    payload['x-ga-request_count'] = 1;
    payload['x-ga-protocol_version'] = 2;
  }
  return payload;
};

const streamId = function() {
  const given = textOf(data.stream_id).trim();
  if (given) return given;
  const behind = getUrl('path').split('/streaming/')[1];
  const inPath = isMissing(behind) ? '' : behind.split('/')[0];
  return isDigits(inPath) ? inPath : textOf(copyFromDataLayer('stream_id')).trim();
};

const serverOf = function(domain) {
  let server = textOf(domain).trim();
  while (server.slice(-1) === '/') server = server.slice(0, -1);
  if (server === '') return '';
  return server.indexOf('https://') === 0 || server.indexOf('http://') === 0 ? server : 'https://' + server;
};

const fire = function() {
  const server = serverOf(data.gtm_server_domain);
  if (server === '') return failed('the server URL is missing');
  const stream = streamId();
  if (stream === '') return failed('the stream id is missing');
  const name = textOf(data.event_type === 'custom' ? data.event_name_custom : data.event_name_standard).trim();
  if (name === '') return failed('the event has no name');
  const given = textOf(data.data_tag_load_script_url).trim();
  const script = given === '' || given === ELSEWHERE ? server + '/static/v6.js' : given;
  if (!queryPermission('inject_script', script)) {
    return failed('the permission "Injects scripts" of the template does not allow ' + script);
  }

  const path = '/api/v1/streaming/' + encodeUriComponent(stream);
  const event = {name: name, id: newEventId(path, name), waited: false};
  const page = snapshot();
  const send = function(onSuccess, onFailure) {
    const consent = consentState();
    injectScript(script, () => {
      const browser = callInWindow('dataTagGetData', getContainerVersion().containerId);
      if (getType(browser) !== 'object') {
        log('the script is not the one that is expected: ' + script);
        return onFailure();
      }
      callInWindow(
        'dataTagSendData',
        payloadOf(event, page, consent, browser),
        server,
        path,
        data.dataLayerEventPush ? data.dataLayerEventName : undefined,
        data.dataLayerEventPush ? data.dataLayerVariableName : undefined,
        !!data.waitForCookies,
        data.useFetchInsteadOfXHR !== false
      );
      onSuccess();
    }, () => {
      log('the script could not be loaded: ' + script);
      onFailure();
    }, script);
  };

  if (data.when_denied === 'send' || isMissing(data.when_denied) || isConsentGranted('analytics_storage')) {
    return send(data.gtmOnSuccess, data.gtmOnFailure);
  }
  // The tag has done what it can for now: nothing on the page shall wait for the visitor's choice.
  if (data.when_denied === 'wait') {
    addConsentListener('analytics_storage', (type, isGranted) => {
      if (!isGranted || event.waited) return;
      event.waited = true;
      send(() => {}, () => {});
    });
  }
  data.gtmOnSuccess();
};

if (getUrl('host') === PREVIEW_HOST) {
  data.gtmOnSuccess();
} else {
  fire();
}


___WEB_PERMISSIONS___

[
  {
    "instance": {
      "key": {
        "publicId": "inject_script",
        "versionId": "1"
      },
      "param": [
        {
          "key": "urls",
          "value": {
            "type": 2,
            "listItem": [
              {
                "type": 1,
                "string": "https://collect.example.com/static/v6.js"
              },
              {
                "type": 1,
                "string": "https://collect.example.com/api/v1/fetch/v6.js"
              }
            ]
          }
        }
      ]
    },
    "clientAnnotations": {
      "isEditedByUser": true
    },
    "isRequired": true
  },
  {
    "instance": {
      "key": {
        "publicId": "access_globals",
        "versionId": "1"
      },
      "param": [
        {
          "key": "keys",
          "value": {
            "type": 2,
            "listItem": [
              {
                "type": 3,
                "mapKey": [
                  {
                    "type": 1,
                    "string": "key"
                  },
                  {
                    "type": 1,
                    "string": "read"
                  },
                  {
                    "type": 1,
                    "string": "write"
                  },
                  {
                    "type": 1,
                    "string": "execute"
                  }
                ],
                "mapValue": [
                  {
                    "type": 1,
                    "string": "dataTagGetData"
                  },
                  {
                    "type": 8,
                    "boolean": false
                  },
                  {
                    "type": 8,
                    "boolean": false
                  },
                  {
                    "type": 8,
                    "boolean": true
                  }
                ]
              },
              {
                "type": 3,
                "mapKey": [
                  {
                    "type": 1,
                    "string": "key"
                  },
                  {
                    "type": 1,
                    "string": "read"
                  },
                  {
                    "type": 1,
                    "string": "write"
                  },
                  {
                    "type": 1,
                    "string": "execute"
                  }
                ],
                "mapValue": [
                  {
                    "type": 1,
                    "string": "dataTagSendData"
                  },
                  {
                    "type": 8,
                    "boolean": false
                  },
                  {
                    "type": 8,
                    "boolean": false
                  },
                  {
                    "type": 8,
                    "boolean": true
                  }
                ]
              },
              {
                "type": 3,
                "mapKey": [
                  {
                    "type": 1,
                    "string": "key"
                  },
                  {
                    "type": 1,
                    "string": "read"
                  },
                  {
                    "type": 1,
                    "string": "write"
                  },
                  {
                    "type": 1,
                    "string": "execute"
                  }
                ],
                "mapValue": [
                  {
                    "type": 1,
                    "string": "dataTagMD5"
                  },
                  {
                    "type": 8,
                    "boolean": false
                  },
                  {
                    "type": 8,
                    "boolean": false
                  },
                  {
                    "type": 8,
                    "boolean": true
                  }
                ]
              },
              {
                "type": 3,
                "mapKey": [
                  {
                    "type": 1,
                    "string": "key"
                  },
                  {
                    "type": 1,
                    "string": "read"
                  },
                  {
                    "type": 1,
                    "string": "write"
                  },
                  {
                    "type": 1,
                    "string": "execute"
                  }
                ],
                "mapValue": [
                  {
                    "type": 1,
                    "string": "dataTag256"
                  },
                  {
                    "type": 8,
                    "boolean": false
                  },
                  {
                    "type": 8,
                    "boolean": false
                  },
                  {
                    "type": 8,
                    "boolean": true
                  }
                ]
              },
              {
                "type": 3,
                "mapKey": [
                  {
                    "type": 1,
                    "string": "key"
                  },
                  {
                    "type": 1,
                    "string": "read"
                  },
                  {
                    "type": 1,
                    "string": "write"
                  },
                  {
                    "type": 1,
                    "string": "execute"
                  }
                ],
                "mapValue": [
                  {
                    "type": 1,
                    "string": "gtmBrowserId"
                  },
                  {
                    "type": 8,
                    "boolean": true
                  },
                  {
                    "type": 8,
                    "boolean": true
                  },
                  {
                    "type": 8,
                    "boolean": false
                  }
                ]
              },
              {
                "type": 3,
                "mapKey": [
                  {
                    "type": 1,
                    "string": "key"
                  },
                  {
                    "type": 1,
                    "string": "read"
                  },
                  {
                    "type": 1,
                    "string": "write"
                  },
                  {
                    "type": 1,
                    "string": "execute"
                  }
                ],
                "mapValue": [
                  {
                    "type": 1,
                    "string": "gtmPageLoadId"
                  },
                  {
                    "type": 8,
                    "boolean": true
                  },
                  {
                    "type": 8,
                    "boolean": true
                  },
                  {
                    "type": 8,
                    "boolean": false
                  }
                ]
              },
              {
                "type": 3,
                "mapKey": [
                  {
                    "type": 1,
                    "string": "key"
                  },
                  {
                    "type": 1,
                    "string": "read"
                  },
                  {
                    "type": 1,
                    "string": "write"
                  },
                  {
                    "type": 1,
                    "string": "execute"
                  }
                ],
                "mapValue": [
                  {
                    "type": 1,
                    "string": "gtm_dataTagTempClientId"
                  },
                  {
                    "type": 8,
                    "boolean": true
                  },
                  {
                    "type": 8,
                    "boolean": true
                  },
                  {
                    "type": 8,
                    "boolean": false
                  }
                ]
              }
            ]
          }
        }
      ]
    },
    "clientAnnotations": {
      "isEditedByUser": true
    },
    "isRequired": true
  },
  {
    "instance": {
      "key": {
        "publicId": "access_consent",
        "versionId": "1"
      },
      "param": [
        {
          "key": "consentTypes",
          "value": {
            "type": 2,
            "listItem": [
              {
                "type": 3,
                "mapKey": [
                  {
                    "type": 1,
                    "string": "consentType"
                  },
                  {
                    "type": 1,
                    "string": "read"
                  },
                  {
                    "type": 1,
                    "string": "write"
                  }
                ],
                "mapValue": [
                  {
                    "type": 1,
                    "string": "ad_storage"
                  },
                  {
                    "type": 8,
                    "boolean": true
                  },
                  {
                    "type": 8,
                    "boolean": false
                  }
                ]
              },
              {
                "type": 3,
                "mapKey": [
                  {
                    "type": 1,
                    "string": "consentType"
                  },
                  {
                    "type": 1,
                    "string": "read"
                  },
                  {
                    "type": 1,
                    "string": "write"
                  }
                ],
                "mapValue": [
                  {
                    "type": 1,
                    "string": "ad_user_data"
                  },
                  {
                    "type": 8,
                    "boolean": true
                  },
                  {
                    "type": 8,
                    "boolean": false
                  }
                ]
              },
              {
                "type": 3,
                "mapKey": [
                  {
                    "type": 1,
                    "string": "consentType"
                  },
                  {
                    "type": 1,
                    "string": "read"
                  },
                  {
                    "type": 1,
                    "string": "write"
                  }
                ],
                "mapValue": [
                  {
                    "type": 1,
                    "string": "ad_personalization"
                  },
                  {
                    "type": 8,
                    "boolean": true
                  },
                  {
                    "type": 8,
                    "boolean": false
                  }
                ]
              },
              {
                "type": 3,
                "mapKey": [
                  {
                    "type": 1,
                    "string": "consentType"
                  },
                  {
                    "type": 1,
                    "string": "read"
                  },
                  {
                    "type": 1,
                    "string": "write"
                  }
                ],
                "mapValue": [
                  {
                    "type": 1,
                    "string": "analytics_storage"
                  },
                  {
                    "type": 8,
                    "boolean": true
                  },
                  {
                    "type": 8,
                    "boolean": false
                  }
                ]
              },
              {
                "type": 3,
                "mapKey": [
                  {
                    "type": 1,
                    "string": "consentType"
                  },
                  {
                    "type": 1,
                    "string": "read"
                  },
                  {
                    "type": 1,
                    "string": "write"
                  }
                ],
                "mapValue": [
                  {
                    "type": 1,
                    "string": "functionality_storage"
                  },
                  {
                    "type": 8,
                    "boolean": true
                  },
                  {
                    "type": 8,
                    "boolean": false
                  }
                ]
              },
              {
                "type": 3,
                "mapKey": [
                  {
                    "type": 1,
                    "string": "consentType"
                  },
                  {
                    "type": 1,
                    "string": "read"
                  },
                  {
                    "type": 1,
                    "string": "write"
                  }
                ],
                "mapValue": [
                  {
                    "type": 1,
                    "string": "personalization_storage"
                  },
                  {
                    "type": 8,
                    "boolean": true
                  },
                  {
                    "type": 8,
                    "boolean": false
                  }
                ]
              },
              {
                "type": 3,
                "mapKey": [
                  {
                    "type": 1,
                    "string": "consentType"
                  },
                  {
                    "type": 1,
                    "string": "read"
                  },
                  {
                    "type": 1,
                    "string": "write"
                  }
                ],
                "mapValue": [
                  {
                    "type": 1,
                    "string": "security_storage"
                  },
                  {
                    "type": 8,
                    "boolean": true
                  },
                  {
                    "type": 8,
                    "boolean": false
                  }
                ]
              }
            ]
          }
        }
      ]
    },
    "clientAnnotations": {
      "isEditedByUser": true
    },
    "isRequired": true
  },
  {
    "instance": {
      "key": {
        "publicId": "get_cookies",
        "versionId": "1"
      },
      "param": [
        {
          "key": "cookieAccess",
          "value": {
            "type": 1,
            "string": "specific"
          }
        },
        {
          "key": "cookieNames",
          "value": {
            "type": 2,
            "listItem": [
              {
                "type": 1,
                "string": "__uid__"
              },
              {
                "type": 1,
                "string": "_rs"
              },
              {
                "type": 1,
                "string": "my_streaming"
              },
              {
                "type": 1,
                "string": "_fbc"
              },
              {
                "type": 1,
                "string": "_fbp"
              },
              {
                "type": 1,
                "string": "_gtmeec"
              },
              {
                "type": 1,
                "string": "ttclid"
              },
              {
                "type": 1,
                "string": "_ttp"
              },
              {
                "type": 1,
                "string": "_epik"
              },
              {
                "type": 1,
                "string": "_scid"
              },
              {
                "type": 1,
                "string": "_scclid"
              },
              {
                "type": 1,
                "string": "taboola_cid"
              },
              {
                "type": 1,
                "string": "awin_awc"
              },
              {
                "type": 1,
                "string": "awin_sn_awc"
              },
              {
                "type": 1,
                "string": "awin_source"
              },
              {
                "type": 1,
                "string": "rakuten_site_id"
              },
              {
                "type": 1,
                "string": "rakuten_time_entered"
              },
              {
                "type": 1,
                "string": "rakuten_ran_mid"
              },
              {
                "type": 1,
                "string": "rakuten_ran_eaid"
              },
              {
                "type": 1,
                "string": "rakuten_ran_site_id"
              },
              {
                "type": 1,
                "string": "klaviyo_email"
              },
              {
                "type": 1,
                "string": "klaviyo_kx"
              },
              {
                "type": 1,
                "string": "klaviyo_viewed_items"
              },
              {
                "type": 1,
                "string": "outbrain_cid"
              },
              {
                "type": 1,
                "string": "wg_cid"
              },
              {
                "type": 1,
                "string": "ps_id"
              },
              {
                "type": 1,
                "string": "uet_msclkid"
              },
              {
                "type": 1,
                "string": "_uetmsclkid"
              },
              {
                "type": 1,
                "string": "uet_vid"
              },
              {
                "type": 1,
                "string": "_uetvid"
              }
            ]
          }
        }
      ]
    },
    "clientAnnotations": {
      "isEditedByUser": true
    },
    "isRequired": true
  },
  {
    "instance": {
      "key": {
        "publicId": "set_cookies",
        "versionId": "1"
      },
      "param": [
        {
          "key": "allowedCookies",
          "value": {
            "type": 2,
            "listItem": [
              {
                "type": 3,
                "mapKey": [
                  {
                    "type": 1,
                    "string": "name"
                  },
                  {
                    "type": 1,
                    "string": "domain"
                  },
                  {
                    "type": 1,
                    "string": "path"
                  },
                  {
                    "type": 1,
                    "string": "secure"
                  },
                  {
                    "type": 1,
                    "string": "session"
                  }
                ],
                "mapValue": [
                  {
                    "type": 1,
                    "string": "my_streaming"
                  },
                  {
                    "type": 1,
                    "string": "*"
                  },
                  {
                    "type": 1,
                    "string": "*"
                  },
                  {
                    "type": 1,
                    "string": "any"
                  },
                  {
                    "type": 1,
                    "string": "any"
                  }
                ]
              }
            ]
          }
        }
      ]
    },
    "clientAnnotations": {
      "isEditedByUser": true
    },
    "isRequired": true
  },
  {
    "instance": {
      "key": {
        "publicId": "access_local_storage",
        "versionId": "1"
      },
      "param": [
        {
          "key": "keys",
          "value": {
            "type": 2,
            "listItem": [
              {
                "type": 3,
                "mapKey": [
                  {
                    "type": 1,
                    "string": "key"
                  },
                  {
                    "type": 1,
                    "string": "read"
                  },
                  {
                    "type": 1,
                    "string": "write"
                  }
                ],
                "mapValue": [
                  {
                    "type": 1,
                    "string": "__uid__"
                  },
                  {
                    "type": 8,
                    "boolean": true
                  },
                  {
                    "type": 8,
                    "boolean": true
                  }
                ]
              },
              {
                "type": 3,
                "mapKey": [
                  {
                    "type": 1,
                    "string": "key"
                  },
                  {
                    "type": 1,
                    "string": "read"
                  },
                  {
                    "type": 1,
                    "string": "write"
                  }
                ],
                "mapValue": [
                  {
                    "type": 1,
                    "string": "my_streaming"
                  },
                  {
                    "type": 8,
                    "boolean": true
                  },
                  {
                    "type": 8,
                    "boolean": true
                  }
                ]
              }
            ]
          }
        }
      ]
    },
    "clientAnnotations": {
      "isEditedByUser": true
    },
    "isRequired": true
  },
  {
    "instance": {
      "key": {
        "publicId": "access_template_storage",
        "versionId": "1"
      },
      "param": []
    },
    "clientAnnotations": {
      "isEditedByUser": true
    },
    "isRequired": true
  },
  {
    "instance": {
      "key": {
        "publicId": "read_data_layer",
        "versionId": "1"
      },
      "param": [
        {
          "key": "allowedKeys",
          "value": {
            "type": 1,
            "string": "specific"
          }
        },
        {
          "key": "keyPatterns",
          "value": {
            "type": 2,
            "listItem": [
              {
                "type": 1,
                "string": "gtm.uniqueEventId"
              },
              {
                "type": 1,
                "string": "stream_id"
              },
              {
                "type": 1,
                "string": "ecommerce"
              }
            ]
          }
        }
      ]
    },
    "clientAnnotations": {
      "isEditedByUser": true
    },
    "isRequired": true
  },
  {
    "instance": {
      "key": {
        "publicId": "get_url",
        "versionId": "1"
      },
      "param": [
        {
          "key": "urlParts",
          "value": {
            "type": 1,
            "string": "any"
          }
        },
        {
          "key": "queriesAllowed",
          "value": {
            "type": 1,
            "string": "any"
          }
        }
      ]
    },
    "clientAnnotations": {
      "isEditedByUser": true
    },
    "isRequired": true
  },
  {
    "instance": {
      "key": {
        "publicId": "get_referrer",
        "versionId": "1"
      },
      "param": [
        {
          "key": "urlParts",
          "value": {
            "type": 1,
            "string": "any"
          }
        },
        {
          "key": "queriesAllowed",
          "value": {
            "type": 1,
            "string": "any"
          }
        }
      ]
    },
    "clientAnnotations": {
      "isEditedByUser": true
    },
    "isRequired": true
  },
  {
    "instance": {
      "key": {
        "publicId": "read_title",
        "versionId": "1"
      },
      "param": []
    },
    "clientAnnotations": {
      "isEditedByUser": true
    },
    "isRequired": true
  },
  {
    "instance": {
      "key": {
        "publicId": "read_character_set",
        "versionId": "1"
      },
      "param": []
    },
    "clientAnnotations": {
      "isEditedByUser": true
    },
    "isRequired": true
  },
  {
    "instance": {
      "key": {
        "publicId": "read_container_data",
        "versionId": "1"
      },
      "param": []
    },
    "clientAnnotations": {
      "isEditedByUser": true
    },
    "isRequired": true
  },
  {
    "instance": {
      "key": {
        "publicId": "logging",
        "versionId": "1"
      },
      "param": [
        {
          "key": "environments",
          "value": {
            "type": 1,
            "string": "debug"
          }
        }
      ]
    },
    "clientAnnotations": {
      "isEditedByUser": true
    },
    "isRequired": true
  }
]


___TESTS___

scenarios:
- name: Sends a page view with what is known of the page
  code: |-
    fire({});

    assertThat(sent.length).isEqualTo(1);
    assertThat(sent[0].path).isEqualTo('/api/v1/streaming/3');
    assertThat(sent[0].server).isEqualTo('https://collect.example.com');
    assertThat(sent[0].useFetch).isTrue();
    assertThat(sent[0].payload.event_name).isEqualTo('page_view');
    assertThat(sent[0].payload.v).isEqualTo(2);
    assertThat(sent[0].payload.event_params).isEqualTo([
      {key: 'page_location', value: {string_value: 'https://shop.test/a?utm_source=n1'}},
      {key: 'page_hostname', value: {string_value: 'shop.test'}},
      {key: 'page_path', value: {string_value: '/a'}},
      {key: 'page_referrer', value: {string_value: ''}},
      {key: 'page_title', value: {string_value: 'A'}},
      {key: 'page_encoding', value: {string_value: 'UTF-8'}},
      {key: 'screen_resolution', value: {string_value: '1920x1080'}},
      {key: 'viewport_size', value: {string_value: '1200x800'}}
    ]);
    assertThat(sent[0].payload.user_properties).isNull();
    assertThat(sent[0].payload.privacy_info).isUndefined();
    assertApi('gtmOnSuccess').wasCalled();
    assertApi('gtmOnFailure').wasNotCalled();
- name: Loads the script of the collector
  code: |-
    fire({gtm_server_domain: 'collect.example.com/'});

    assertThat(loaded).isEqualTo(['https://collect.example.com/static/v6.js']);
    assertThat(sent[0].server).isEqualTo('https://collect.example.com');
- name: Loads the script of the collector where the predecessor's host was set
  code: |-
    fire({data_tag_load_script_url: 'https://storage.googleapis.com/inject_script/inject/v6.js'});

    assertThat(loaded).isEqualTo(['https://collect.example.com/static/v6.js']);
- name: Loads the script at the predecessor's path
  code: |-
    fire({data_tag_load_script_url: 'https://collect.example.com/api/v1/fetch/v6.js'});

    assertThat(loaded).isEqualTo(['https://collect.example.com/api/v1/fetch/v6.js']);
- name: Fails where the permission does not allow the script
  code: |-
    fire({gtm_server_domain: 'https://elsewhere.test'});

    assertThat(loaded).isEmpty();
    assertApi('gtmOnFailure').wasCalled();
    assertApi('gtmOnSuccess').wasNotCalled();
- name: Fails where the script cannot be loaded
  code: |-
    mock('injectScript', (url, onSuccess, onFailure) => {
      onFailure();
    });

    runCode(fields({}));

    assertThat(sent).isEmpty();
    assertApi('gtmOnFailure').wasCalled();
- name: Fails where the script is another one
  code: |-
    browser = undefined;

    fire({});

    assertThat(sent).isEmpty();
    assertApi('gtmOnFailure').wasCalled();
- name: Fails without a server, a stream or a name
  code: |-
    fire({gtm_server_domain: ''});
    fire({stream_id: undefined});
    fire({event_type: 'custom', event_name_custom: ' '});

    assertThat(sent).isEmpty();
    assertApi('gtmOnSuccess').wasNotCalled();
- name: Takes the stream from the path of the page
  code: |-
    url.path = '/streaming/9001/landing';

    fire({stream_id: ''});

    assertThat(sent[0].path).isEqualTo('/api/v1/streaming/9001');
- name: Takes the stream from the data layer
  code: |-
    layer.stream_id = 12;

    fire({stream_id: undefined});

    assertThat(sent[0].path).isEqualTo('/api/v1/streaming/12');
- name: Does nothing in the preview of tags
  code: |-
    url.host = 'gtm-msr.appspot.com';

    fire({});

    assertThat(loaded).isEmpty();
    assertApi('gtmOnSuccess').wasCalled();
- name: Types values where nothing is lost
  code: |-
    fire({add_common: false, custom_data: [
      row('whole', '42'), row('negative', '-7'), row('decimal', '9.50'), row('zero', '0'), row('small', '0.5'),
      row('number', 7), row('fraction', 0.25), row('huge', 1e21), row('flag', true),
      row('zeros', '007'), row('longer', '9007199254740993'), row('exact', '9007199254740991'),
      row('digits', '0.1234567890123456'), row('point', '.'), row('sign', '-'), row('open', '5.'), row('date', '2026-11-21'),
      row('comma', '31,99'), row('text', 'a'), row('empty', ''), row('list', [1, 'b']), row('object', {a: {b: 1}}),
      row('missing', undefined), row('nothing', null), row('none', 0 / 0), row('', 'nameless')
    ]});

    assertThat(params()).isEqualTo({
      whole: {int_value: 42}, negative: {int_value: -7}, decimal: {float_value: 9.5}, zero: {int_value: 0}, small: {float_value: 0.5},
      number: {int_value: 7}, fraction: {float_value: 0.25}, huge: {float_value: 1e21}, flag: {string_value: 'true'},
      zeros: {string_value: '007'}, longer: {string_value: '9007199254740993'}, exact: {int_value: 9007199254740991},
      digits: {string_value: '0.1234567890123456'}, point: {string_value: '.'}, sign: {string_value: '-'},
      open: {string_value: '5.'}, date: {string_value: '2026-11-21'},
      comma: {string_value: '31,99'}, text: {string_value: 'a'}, empty: {string_value: ''},
      list: {string_value: '[1,"b"]'}, object: {string_value: '{"a":{"b":1}}'}
    });
- name: Sends nothing in place of parameters that there are none of
  code: |-
    fire({add_common: false});

    assertThat(sent[0].payload.event_params).isNull();
    assertThat(sent[0].payload.user_properties).isNull();
- name: Sends user data as texts, in three places
  code: |-
    fire({add_common: false, user_data: [row('user_id', 42), row('postal_code', '01067'), row('phone_number', '4930123456')]});

    const texts = {user_id: {string_value: '42'}, postal_code: {string_value: '01067'}, phone_number: {string_value: '4930123456'}};
    assertThat(params()).isEqualTo(texts);
    assertThat(listed(sent[0].payload.user_properties)).isEqualTo(texts);
    assertThat(sent[0].payload.user_id).isEqualTo('42');
- name: Transforms values
  code: |-
    const made = (name, transformation) => ({name: name, value: ' Ann@Shop.test ', transformation: transformation, store: 'none'});

    fire({add_common: false, custom_data: [
      made('a', 'none'), made('b', 'trim'), made('c', 'to_lower_case'), made('d', 'md5'), made('e', 'sha256base64'),
      made('f', 'sha256hex'), made('g', 'base64'), {name: 'h', value: '', transformation: 'md5', store: 'none'}
    ], user_data: [made('user_id', 'sha256hex')]});

    const hashed = {string_value: '256 HEX ann@shop.test'};
    assertThat(params()).isEqualTo({
      a: {string_value: ' Ann@Shop.test '}, b: {string_value: 'Ann@Shop.test'}, c: {string_value: 'ann@shop.test'},
      d: {string_value: 'MD5 ann@shop.test'}, e: {string_value: '256 B64 ann@shop.test'}, f: hashed,
      g: {string_value: 'IEFubkBTaG9wLnRlc3Qg'}, user_id: hashed
    });
    assertThat(sent[0].payload.user_id).isEqualTo('256 HEX ann@shop.test');
- name: Keeps what is asked for in the browser
  code: |-
    stored.my_streaming = '{"old":1}';
    const kept = (name, store) => ({name: name, value: name + '1', transformation: 'none', store: store});

    fire({custom_data: [kept('a', 'localStorage'), kept('b', 'cookies'), kept('c', 'none')], user_data: [kept('city', 'all')]});

    assertThat(stored.my_streaming).isEqualTo('{"old":1,"a":"a1","city":"city1"}');
    assertThat(cookies.my_streaming).isEqualTo('{"b":"b1","city":"city1"}');
- name: Sends the data layer
  code: |-
    browser.dataModel = {
      event: 'purchase', 'gtm.start': 1700000000000, gtm: {element: {}}, 'gtm.element': {}, 'gtm.elementId': 'buy', flag: false, zero: 0,
      page: {type: 'thanks'}, user_id: 77, price: 1
    };

    fire({add_common: false, add_data_layer: true, custom_data: [row('price', '2')]});

    assertThat(params()).isEqualTo({
      event: {string_value: 'purchase'}, 'gtm.start': {int_value: 1700000000000}, 'gtm.elementId': {string_value: 'buy'},
      flag: {string_value: 'false'}, zero: {int_value: 0}, page: {string_value: '{"type":"thanks"}'}, user_id: {int_value: 77},
      price: {int_value: 2}
    });
    assertThat(sent[0].payload.event_params).hasLength(8);
- name: Sends e-commerce as the collector takes it
  code: |-
    layer.ecommerce = {
      transaction_id: 1001, value: '19.90', tax: 'unknown', currency: 'EUR', purchase: {actionField: {}}, coupon: undefined,
      items: [{item_id: 7, item_name: 'Mug', price: '9.95', quantity: '2', discount: 0.5, index: 1, size: 'L', item_params: {}}, null]
    };

    fire({add_common: false, add_ecommerce: true});

    assertThat(sent[0].payload.ecommerce).isEqualTo({
      transaction_id: '1001', value: 19.9, currency: 'EUR', purchase: '{"actionField":{}}'
    });
    assertThat(sent[0].payload.items).isEqualTo([
      {item_id: '7', item_name: 'Mug', price: 9.95, quantity: 2, discount: 0.5, index: '1', size: 'L'}
    ]);
    assertThat(sent[0].payload.event_params).isNull();
- name: Sends e-commerce of the whole data layer, and of rows
  code: |-
    browser.dataModel = {ecommerce: {value: 3, items: [{item_id: 'a'}]}};

    fire({add_common: false, add_data_layer: true, custom_data: [row('items', [{item_id: 'b', quantity: 1.5}])]});

    assertThat(sent[0].payload.ecommerce).isEqualTo({value: 3});
    assertThat(sent[0].payload.items).isEqualTo([{item_id: 'b'}]);
    assertThat(sent[0].payload.event_params).isNull();
- name: A row counts more than what is known of the page
  code: |-
    fire({custom_data: [row('page_title', 'Mine')]});

    assertThat(params().page_title).isEqualTo({string_value: 'Mine'});
    assertThat(params().page_path).isEqualTo({string_value: '/a'});
- name: Gives each event an id of its own
  code: |-
    fire({});
    fire({});
    fire({event_name_standard: 'login'});
    layer['gtm.uniqueEventId'] = 8;
    fire({});

    assertThat(sent.map((one) => one.payload.event_id)).isEqualTo([
      '1766400612345_17664007345677', '1766400612345_17664007345677.2', '1766400612345_17664007345677',
      '1766400612345_17664007345678'
    ]);
- name: Makes numbers for the page once
  code: |-
    globals.gtmBrowserId = undefined;
    globals.gtmPageLoadId = undefined;

    fire({});

    assertThat(globals.gtmBrowserId).isEqualTo(1766400600000 + 100000);
    assertThat(sent[0].payload.event_id).isEqualTo('1766400700000_17664007000007');
- name: Sends the state of consent where it is asked for
  code: |-
    fire({add_consent_state: true});

    assertThat(sent[0].payload.privacy_info).isEqualTo({
      ad_storage: true, ad_user_data: true, ad_personalization: true, analytics_storage: true,
      functionality_storage: true, personalization_storage: true, security_storage: true
    });
- name: Sends a denial though it is not asked for
  code: |-
    consent.ad_user_data = false;

    fire({});

    assertThat(sent[0].payload.privacy_info.ad_user_data).isFalse();
    assertThat(sent[0].payload.privacy_info.analytics_storage).isTrue();
- name: Keeps nothing and tells nothing of who denies storage
  code: |-
    consent.analytics_storage = false;
    cookies._fbp = 'fb.1.1.2';

    fire({add_common_cookie: true, user_data: [{name: 'user_id', value: 'u', transformation: 'none', store: 'all'}],
      custom_data: [{name: 'plan', value: 'pro', transformation: 'none', store: 'all'}]});

    assertThat(sent[0].payload.privacy_info.analytics_storage).isFalse();
    assertThat(sent[0].payload.user_id).isUndefined();
    assertThat(sent[0].payload.user_properties).isNull();
    assertThat(sent[0].payload.common_cookie).isUndefined();
    assertThat(sent[0].payload._dcid_temp).isUndefined();
    assertThat(sent[0].payload.client_id).isUndefined();
    assertThat(params().plan).isEqualTo({string_value: 'pro'});
    assertApi('setCookie').wasNotCalled();
    assertApi('getCookieValues').wasNotCalled();
    assertThat(stored).isEqualTo({});
- name: Drops the event where storage is denied, if it shall
  code: |-
    consent.analytics_storage = false;

    fire({when_denied: 'drop'});

    assertThat(loaded).isEmpty();
    assertApi('gtmOnSuccess').wasCalled();
- name: Waits for the choice, if it shall
  code: |-
    consent.analytics_storage = false;
    let listener;
    mock('addConsentListener', (type, given) => {
      assertThat(type).isEqualTo('analytics_storage');
      listener = given;
    });

    fire({when_denied: 'wait', user_data: [row('user_id', 'u')]});

    assertThat(loaded).isEmpty();
    assertApi('gtmOnSuccess').wasCalled();
    listener('analytics_storage', false);
    assertThat(loaded).isEmpty();
    consent.analytics_storage = true;
    page.title = 'Later';
    listener('analytics_storage', true);
    listener('analytics_storage', true);
    assertThat(sent.length).isEqualTo(1);
    assertThat(params().page_title).isEqualTo({string_value: 'A'});
    assertThat(sent[0].payload.timestamp_micros).isEqualTo(1766400600000000);
    assertThat(sent[0].payload.user_id).isEqualTo('u');
- name: Does not wait where storage is allowed
  code: |-
    fire({when_denied: 'wait'});

    assertThat(sent.length).isEqualTo(1);
    assertThat(sent[0].payload.timestamp_micros).isUndefined();
- name: Names a new visitor, and remembers it
  code: |-
    fire({});
    fire({});
    held.visitor = undefined;
    fire({});

    const made = '1766400600000.100000000.100000000.100000000';
    assertThat(sent.map((one) => one.payload.client_id)).isEqualTo([made, made, made]);
    assertThat(stored.__uid__).isEqualTo(made);
    assertApi('setCookie').wasNotCalled();
- name: Remembers a visitor for the page where nothing can be kept
  code: |-
    mock('generateRandom', (min, max) => {
      count++;
      return min + count;
    });
    mockObject('localStorage', {getItem: () => null, setItem: () => false});

    fire({});
    fire({});

    assertThat(sent[0].payload.client_id).isEqualTo(sent[1].payload.client_id);
- name: Knows a visitor by a cookie
  code: |-
    stored.__uid__ = 'kept';
    fire({});
    cookies._rs = 'tracked~1766400000~2~1766400600000~3';
    fire({});
    cookies.__uid__ = 'known';
    fire({});

    assertThat(sent.map((one) => one.payload.client_id)).isEqualTo(['kept', 'tracked', 'known']);
    assertThat(stored.__uid__).isEqualTo('kept');
- name: Sends cookies of advertisers
  code: |-
    cookies._fbp = 'fb.1.1.2';
    cookies._uetvid = 'v';

    fire({add_common_cookie: true});

    assertThat(sent[0].payload.common_cookie).isEqualTo({_fbp: 'fb.1.1.2', _uetvid: 'v'});
- name: Sends no cookies of advertisers where these are denied
  code: |-
    cookies._fbp = 'fb.1.1.2';
    consent.ad_storage = false;

    fire({add_common_cookie: true});

    assertThat(sent[0].payload.common_cookie).isUndefined();
- name: Adds parameters of Google Analytics
  code: |-
    fire({addGaParameters: true, gaId: 'G-TEST'});

    assertThat(sent[0].payload['x-ga-measurement_id']).isEqualTo('G-TEST');
    assertThat(sent[0].payload['x-ga-page_id']).isEqualTo(1766400600000);
    assertThat(sent[0].payload['x-ga-protocol_version']).isEqualTo(2);
- name: Has the answer pushed to the data layer
  code: |-
    fire({dataLayerEventPush: true, dataLayerEventName: 'collected', dataLayerVariableName: 'dataLayer', waitForCookies: true,
      useFetchInsteadOfXHR: false});
    fire({dataLayerEventName: 'collected'});

    assertThat(sent[0].event).isEqualTo('collected');
    assertThat(sent[0].variable).isEqualTo('dataLayer');
    assertThat(sent[0].waitForCookies).isTrue();
    assertThat(sent[0].useFetch).isFalse();
    assertThat(sent[1].event).isUndefined();
setup: |-
  // A page, its window and its visitor. Tests change them before they fire.
  const url = {protocol: 'https', host: 'shop.test', path: '/a'};
  const page = {title: 'A'};
  const layer = {'gtm.uniqueEventId': 7};
  const consent = {};
  const cookies = {};
  const stored = {};
  const held = {};
  const globals = {gtmBrowserId: 1766400612345, gtmPageLoadId: 1766400734567};
  let browser = {
    document: {characterSet: 'UTF-8'}, innerWidth: 1200, innerHeight: 800, screen: {width: 1920, height: 1080}, dataModel: {}
  };
  const sent = [];
  const loaded = [];
  let count = 0;

  mock('getUrl', (part) => part ? url[part] : 'https://shop.test/a?utm_source=n1');
  mock('getReferrerUrl', '');
  mock('readTitle', () => page.title);
  mock('readCharacterSet', 'UTF-8');
  mock('getTimestampMillis', 1766400600000);
  mock('generateRandom', (min) => min);
  mock('getContainerVersion', {containerId: 'GTM-TEST'});
  mock('copyFromDataLayer', (key) => layer[key]);
  mock('copyFromWindow', (key) => globals[key]);
  mock('setInWindow', (key, value) => {
    globals[key] = value;
    return true;
  });
  mock('isConsentGranted', (type) => consent[type] !== false);
  mock('getCookieValues', (name) => cookies[name] ? [cookies[name]] : []);
  mock('setCookie', (name, value) => {
    cookies[name] = value;
  });
  mockObject('localStorage', {
    getItem: (key) => stored[key] || null,
    setItem: (key, value) => {
      stored[key] = value;
      return true;
    }
  });
  mockObject('templateStorage', {
    getItem: (key) => held[key],
    setItem: (key, value) => {
      held[key] = value;
    }
  });
  mock('injectScript', (address, onSuccess) => {
    loaded.push(address);
    onSuccess();
  });
  mock('callInWindow', (name, first, server, path, event, variable, waitForCookies, useFetch) => {
    if (name === 'dataTagGetData') return browser;
    if (name === 'dataTagMD5') return 'MD5 ' + first;
    if (name === 'dataTag256') return '256 ' + server + ' ' + first;
    sent.push({
      payload: first, server: server, path: path, event: event, variable: variable, waitForCookies: waitForCookies, useFetch: useFetch
    });
  });

  const row = (name, value) => ({name: name, value: value, transformation: 'none', store: 'none'});
  const fields = (changed) => {
    const all = {
      gtm_server_domain: 'https://collect.example.com', stream_id: '3', event_type: 'standard', event_name_standard: 'page_view',
      add_common: true, useFetchInsteadOfXHR: true, protocol_version: '2', when_denied: 'send'
    };
    const Object = require('Object');
    Object.keys(changed).forEach((name) => {
      all[name] = changed[name];
    });
    return all;
  };
  const fire = (changed) => {
    runCode(fields(changed));
  };
  const listed = (entries) => {
    const byName = {};
    entries.forEach((entry) => {
      byName[entry.key] = entry.value;
    });
    return byName;
  };
  const params = () => listed(sent[0].payload.event_params);


___NOTES___

A tag of the template that the collector's predecessor brought goes on as it is: fields and their values have the same names. What
is different:

- Values: digits are a number only where nothing of them is lost. "007", "1.", ".", "-" and ids with more
  digits than a number holds exactly stay texts. Objects and lists are sent as JSON. What is known of the page and of the user is
  always text.
- user_id is always text, so that no event is refused for it.
- page_path is sent too.
- ecommerce and items of the data layer, or of a row of the event data, go to the e-commerce columns. A box of its own sends nothing but these.
- Consent: a denial is always sent, also where the box is not ticked. Where analytics_storage is denied nothing is read from
  or kept in the browser, no id and no user data are sent; where ad_storage is denied no cookies of advertisers. The tag can
  wait for the choice, or send nothing.
- The script comes from the collector unless another address is given, and from no other host.
- An event_id is given once a page: two tags with the same event name on one event of Tag Manager are two events.
- The tag sets no cookie __uid__, it sends client_id: the collector sets the cookie, hidden from pages, with the id that it was sent.

docs/gtm.md of the collector tells how to import and update it.
