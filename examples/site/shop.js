// A shop of static pages. The cart is kept in the browser; each step tells the tracker what GA4 would be told.
const PRODUCTS = [
  { item_id: "K-1", item_name: "Whistling kettle", item_category: "Kettles", price: 39, sign: "kettle" },
  { item_id: "K-2", item_name: "Travel kettle", item_category: "Kettles", price: 24.5, sign: "kettle" },
  { item_id: "C-1", item_name: "Cup with handle", item_category: "Cups", price: 12, sign: "mug" },
  { item_id: "C-2", item_name: "Cup without handle", item_category: "Cups", price: 11, sign: "bowl" },
  { item_id: "L-1", item_name: "Green leaves", item_category: "Leaves", price: 8.9, sign: "leaf" },
  { item_id: "L-2", item_name: "Mint leaves", item_category: "Leaves", price: 6.4, sign: "leaf" },
];
const CURRENCY = "EUR";

const money = (amount) => new Intl.NumberFormat("en", { style: "currency", currency: CURRENCY }).format(amount);
const asked = new URLSearchParams(location.search);
const at = (id) => document.getElementById(id);

// Drawn in 48 by 48.
const SIGNS = {
  kettle: "M12 20h20l4 20H8zM14 20a8 8 0 0 1 16 0M36 26l6-6M16 12a8 8 0 0 1 12 0",
  mug: "M10 16h22v18a6 6 0 0 1-6 6H16a6 6 0 0 1-6-6zM32 20h4a5 5 0 0 1 0 12h-4M16 6v5M22 5v6M28 6v5",
  bowl: "M8 20h32a16 16 0 0 1-32 0zM16 40h16M20 8v6M28 8v6",
  leaf: "M10 40C10 20 22 10 40 8c0 20-10 30-26 28M10 40c6-10 12-16 20-22",
};

/** The picture of a product. It says nothing that its name does not. */
function picture({ sign }) {
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  svg.setAttribute("class", "sign");
  svg.setAttribute("viewBox", "0 0 48 48");
  svg.setAttribute("aria-hidden", "true");
  const path = document.createElementNS(svg.namespaceURI, "path");
  path.setAttribute("d", SIGNS[sign]);
  svg.append(path);
  return svg;
}

/** An element with attributes and children. */
function make(name, attributes = {}, ...children) {
  const element = Object.assign(document.createElement(name), attributes);
  element.append(...children);
  return element;
}

// ── Cart: quantities by id ──

const cart = () => JSON.parse(localStorage.getItem("cart") || "{}");

function keep(quantities) {
  localStorage.setItem("cart", JSON.stringify(quantities));
  at("count").textContent = Object.values(quantities).reduce((sum, quantity) => sum + quantity, 0);
}

/** What events call an item. */
function item(product, quantity = 1) {
  const { sign, ...told } = product;
  return { ...told, quantity };
}

function cartItems() {
  const quantities = cart();
  return PRODUCTS.filter((product) => quantities[product.item_id]).map((product) => item(product, quantities[product.item_id]));
}

const total = (items) => items.reduce((sum, { price, quantity }) => sum + price * quantity, 0);

/** Parameters of an event about items. */
const about = (items, more) => ({ currency: CURRENCY, value: total(items), items, ...more });

// ── Pages ──

function shelf() {
  const words = (asked.get("q") || "").toLowerCase();
  const found = PRODUCTS.filter((product) => (product.item_name + product.item_category).toLowerCase().includes(words));
  if (words) at("title").textContent = found.length ? `Found for “${words}”` : `Nothing found for “${words}”`;
  const list = { item_list_id: words ? "search" : "all", item_list_name: words ? "Search results" : "All for tea" };
  for (const product of found) {
    const link = make(
      "a",
      { href: "product.html?id=" + product.item_id },
      picture(product),
      make("strong", { textContent: product.item_name }),
      make("br"),
      make("span", { className: "price", textContent: money(product.price) }),
    );
    link.addEventListener("click", () => rs("event", "select_item", { ...list, items: [item(product)] }));
    at("shelf").append(make("li", {}, link));
  }
  if (found.length) rs("event", "view_item_list", { ...list, items: found.map((product) => item(product)) });
}

function product() {
  const found = PRODUCTS.find((one) => one.item_id === asked.get("id")) || PRODUCTS[0];
  document.title = `${found.item_name} · The Kettle Shop`;
  const add = make("button", { className: "main", id: "add", textContent: "Add to cart" });
  add.addEventListener("click", () => {
    const quantities = cart();
    keep({ ...quantities, [found.item_id]: (quantities[found.item_id] || 0) + 1 });
    rs("event", "add_to_cart", about([item(found)]));
  });
  at("product").append(
    picture(found),
    make("h1", { textContent: found.item_name }),
    make("p", { className: "price", textContent: `${money(found.price)} · ${found.item_category}` }),
    make("p", { textContent: "It does what it is for, and does not break." }),
    add,
  );
  rs("event", "view_item", about([item(found)]));
}

function showCart() {
  const items = cartItems();
  const place = at("cart");
  place.replaceChildren();
  if (!items.length) {
    place.append(make("p", {}, "It is empty. ", make("a", { href: "index.html", textContent: "Fill it." })));
    return;
  }
  const rows = items.map((line) => {
    const remove = make("button", { textContent: "Remove", ariaLabel: "Remove " + line.item_name });
    remove.addEventListener("click", () => {
      const { [line.item_id]: _, ...rest } = cart();
      keep(rest);
      rs("event", "remove_from_cart", about([line]));
      showCart();
    });
    return make(
      "tr",
      {},
      make("td", { textContent: `${line.quantity} × ${line.item_name}` }),
      make("td", { className: "amount", textContent: money(line.price * line.quantity) }),
      make("td", {}, remove),
    );
  });
  const head = make("tr", {}, make("th", { textContent: "Product" }), make("th", { className: "amount", textContent: "Price" }), make("th"));
  const buy = make("button", { className: "main", id: "buy", textContent: `Buy for ${money(total(items))}` });
  buy.addEventListener("click", () => {
    const order = "T-" + Date.now();
    rs("event", "begin_checkout", about(items));
    rs("event", "purchase", about(items, { transaction_id: order, shipping: 0 }));
    keep({});
    location.href = "thanks.html?order=" + order;
  });
  place.append(make("table", {}, make("thead", {}, head), make("tbody", {}, ...rows)), make("p", {}, buy));
}

function thanks() {
  at("order").textContent = `Your order ${asked.get("order") || ""} will never be sent: there is nothing to send.`;
}

// ── Consent ──

function choose() {
  if (at("consent")) return;
  const answer = (text, choice, className) => {
    const button = make("button", { textContent: text, className, id: choice });
    button.addEventListener("click", () => {
      localStorage.setItem(CHOICE, choice);
      rs("consent", "update", consentOf(choice));
      at("consent").remove();
    });
    return button;
  };
  const text = make("p", { textContent: "May this shop remember you, so that it can see what is used?" });
  const banner = make(
    "section",
    { id: "consent", ariaLabel: "Privacy" },
    make("div", {}, text, answer("No", "denied", ""), answer("Yes", "granted", "main")),
  );
  document.body.append(banner);
}

keep(cart());
at("choose").addEventListener("click", choose);
if (!localStorage.getItem(CHOICE)) choose();
({ shelf, product, cart: showCart, order: thanks })[["shelf", "product", "cart", "order"].find(at)]();
