// What a page needs to be measured: a queue for calls before the tracker is there, the choice of the visitor, and the tracker.
window.rs = window.rs || function () {
  (rs.q = rs.q || []).push(arguments);
};

const COLLECTOR = "http://localhost:8080";
const CHOICE = "choice";

function consentOf(choice) {
  return { ad_storage: choice, analytics_storage: choice, ad_user_data: choice, ad_personalization: choice };
}

// Nothing is stored in the browser before the visitor has chosen.
rs("consent", "default", consentOf(localStorage.getItem(CHOICE) || "denied"));
rs("config", "shop", { endpoint: COLLECTOR });

const tracker = document.createElement("script");
tracker.async = true;
tracker.src = COLLECTOR + "/static/rs.js";
document.head.append(tracker);
