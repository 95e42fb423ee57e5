// Keeps a page as it stands at the daemon: on an event it fetches the page anew and changes only what differs, so that
// focus, scroll position, open details and what somebody is typing stay. Without it a page is all there, only not live.
"use strict";

const EVENTS = document.body.dataset.events;
const TOPICS = ["run", "violation", "environment", "reset"];
const APART = 2000; // milliseconds between two fetches at the least: many things happen at once when something breaks
const OFTEN = 15000; // and at the most, for ages grow while nothing happens
const SLOW = 20000;

const live = document.getElementById("live");
let asked = 0;
let timer = 0;
let fetching = false;
let again = false;

function say(words, look) {
  if (live.textContent !== words) live.textContent = words;
  live.className = `live ${look}`;
  document.body.classList.toggle("stale", look === "off");
}

function soon() {
  if (timer || document.hidden) return;
  timer = setTimeout(renew, Math.max(100, asked + APART - Date.now()));
}

async function renew() {
  timer = 0;
  if (fetching) {
    again = true;
    return;
  }
  fetching = true;
  asked = Date.now();
  try {
    const answer = await fetch(location.href, { cache: "no-store", signal: AbortSignal.timeout(SLOW) });
    if (!answer.ok) throw new Error(`answered ${answer.status}`);
    const page = new DOMParser().parseFromString(await answer.text(), "text/html");
    const fresh = page.getElementById("main");
    if (!fresh) throw new Error("answered another page");
    become(document.getElementById("main"), fresh);
    become(document.getElementById("of"), page.getElementById("of"));
    document.title = page.title;
    say("live", "on");
  } catch {
    say(`reconnecting; what is shown is of ${document.getElementById("of").textContent}`, "off");
  } finally {
    fetching = false;
    if (again) {
      again = false;
      soon();
    }
  }
}

// Makes one element like another. What has a name is known again wherever it stands, and is not moved where that can be
// helped, for what is moved loses the focus.
function become(old, fresh) {
  for (const { name, value } of fresh.attributes) {
    if (old.getAttribute(name) !== value && !mine(old, name)) {
      if (name === "data-verdict" && old.hasAttribute(name)) flash(old);
      old.setAttribute(name, value);
    }
  }
  for (const { name } of [...old.attributes]) {
    if (!fresh.hasAttribute(name) && !mine(old, name)) old.removeAttribute(name);
  }
  if (old === document.activeElement && old.matches("input, textarea")) return;
  if (old.matches("input, textarea, svg")) {
    if (old.matches("svg") && old.innerHTML !== fresh.innerHTML) old.replaceChildren(...fresh.childNodes);
    return;
  }
  const named = new Set([...fresh.children].map(key).filter(Boolean));
  let at = old.firstChild;
  for (const next of [...fresh.childNodes]) {
    const known = key(next) ? [...old.children].find((each) => key(each) === key(next)) : null;
    while (known && at && at !== known && !named.has(key(at))) at = removed(at);
    const same = known || (at && !key(at) && !key(next) && at.nodeName === next.nodeName ? at : null);
    if (!same) {
      old.insertBefore(next, at);
      continue;
    }
    if (same === at) at = at.nextSibling;
    else old.insertBefore(same, at);
    if (same.nodeType === Node.ELEMENT_NODE) become(same, next);
    else if (same.nodeValue !== next.nodeValue) same.nodeValue = next.nodeValue;
  }
  while (at) at = removed(at);
}

function key(node) {
  return node.id || (node.getAttribute && node.getAttribute("aria-labelledby")) || "";
}

function removed(node) {
  const next = node.nextSibling;
  if (!node.dataset || !("keep" in node.dataset)) node.remove(); // what was answered to somebody stays until they have read it
  return next;
}

// What belongs to the reader and not to the daemon.
function mine(element, name) {
  if (name === "value" && element.matches("input")) return true;
  return (name === "open" && element.nodeName === "DETAILS") || name === "class" && element.classList.contains("changed");
}

function flash(element) {
  element.classList.add("changed");
  setTimeout(() => element.classList.remove("changed"), 2000);
}

function listen() {
  const source = new EventSource(EVENTS);
  source.addEventListener("hello", () => {
    say("live", "on");
    soon();
  });
  for (const topic of TOPICS) source.addEventListener(topic, soon);
  source.onerror = () => {
    say(`reconnecting; what is shown is of ${document.getElementById("of").textContent}`, "off");
    if (source.readyState === EventSource.CLOSED) setTimeout(listen, 5000); // a refusal is not tried again by itself
  };
  addEventListener("pagehide", () => source.close(), { once: true });
}

addEventListener("pageshow", (event) => {
  if (event.persisted) location.reload();
});
document.addEventListener("visibilitychange", () => {
  if (!document.hidden) soon();
});

for (const button of document.querySelectorAll("button[data-copy]")) {
  button.hidden = false;
}
document.addEventListener("click", async (event) => {
  const button = event.target.closest("button[data-copy]");
  if (!button) return;
  const text = document.getElementById(button.dataset.copy);
  try {
    await navigator.clipboard.writeText(text.value);
    button.textContent = "Copied";
  } catch {
    text.focus();
    text.select();
    button.textContent = document.execCommand("copy") ? "Copied" : "Selected: press Ctrl+C";
  }
});

if (EVENTS) {
  listen();
  setInterval(() => {
    if (Date.now() - asked > OFTEN) soon();
  }, 5000);
}
