// The console's own script: times in the reader's zone, news as it happens, keys, questions.
"use strict";
(() => {
  const root = document.documentElement;
  root.classList.add("scripted");
  const csrf = document.querySelector('meta[name="csrf-token"]').content;

  // Times: the node writes UTC, the browser shows its own zone; the tooltip keeps UTC.
  const full = new Intl.DateTimeFormat(root.lang, { year: "numeric", month: "2-digit", day: "2-digit", hour: "2-digit", minute: "2-digit", second: "2-digit", hour12: false });
  const today = new Intl.DateTimeFormat(root.lang, { hour: "2-digit", minute: "2-digit", second: "2-digit", hour12: false });
  const localise = (within) => {
    for (const one of within.querySelectorAll("time[datetime]:not([title])")) {
      const at = new Date(one.dateTime);
      one.title = one.textContent;
      one.textContent = at.toDateString() === new Date().toDateString() ? today.format(at) : full.format(at);
    }
    for (const one of within.querySelectorAll("[data-hour]")) {
      one.textContent = String(new Date(one.dataset.hour).getHours()).padStart(2, "0");
    }
  };
  localise(document);

  // Pictures: those that are seen, few at a time; the node draws them, and may ask to come again.
  const AT_ONCE = 3, TRIES = 4;
  const queue = [];
  let drawing = 0;
  const next = () => {
    while (drawing < AT_ONCE && queue.length) {
      const one = queue.shift();
      if (!one.isConnected) continue;
      drawing += 1;
      const done = () => { drawing -= 1; next(); };
      one.onload = () => { one.classList.add("here"); done(); };
      one.onerror = () => {
        const tries = Number(one.dataset.tries || 0) + 1;
        one.dataset.tries = tries;
        if (tries < TRIES) setTimeout(() => { queue.push(one); next(); }, 1500 * tries);
        done();
      };
      one.src = one.dataset.src;
    }
  };
  const watcher = new IntersectionObserver((seen) => {
    for (const { isIntersecting, target } of seen) if (isIntersecting) { watcher.unobserve(target); queue.push(target); }
    next();
  }, { rootMargin: "200px" });
  const looked = (within) => { for (const one of within.querySelectorAll("img[data-src]:not([src])")) watcher.observe(one); };
  looked(document);

  // News: one line to the node while the page is looked at; what is old on the page is asked again.
  const dot = document.getElementById("line"), said = document.getElementById("line-text");
  let line = null, last = "";
  const shown = (on) => { dot.className = on ? "dot good" : "dot off"; said.textContent = on ? said.dataset.on : said.dataset.off; };
  const listen = () => {
    if (line || document.hidden) return;
    line = new EventSource("/events" + (last ? "?last=" + encodeURIComponent(last) : ""));
    line.addEventListener("open", () => shown(true));
    line.addEventListener("error", () => shown(false));
    line.addEventListener("news", (event) => {
      last = event.lastEventId;
      const topics = JSON.parse(event.data);
      for (const topic of topics) document.body.dispatchEvent(new Event("news-" + topic));
      // How far something is, is asked for by what shows it; the rest of a page is no older for it.
      if (topics.some((one) => one !== "work")) document.body.dispatchEvent(new Event("news"));
    });
  };
  const hush = () => { line?.close(); line = null; shown(false); };
  document.addEventListener("visibilitychange", () => (document.hidden ? hush() : listen()));
  window.addEventListener("pagehide", hush);
  window.addEventListener("pageshow", listen);
  listen();

  // What was opened by the reader stays open; pictures that are there are not drawn again.
  let open = [], drawn = new Map();
  document.addEventListener("htmx:beforeSwap", (event) => {
    const target = event.detail.target;
    if (event.detail.xhr.status !== 200) event.detail.shouldSwap = false;
    open = [...target.querySelectorAll("details")].map((one) => one.open);
    drawn = new Map([...target.querySelectorAll("img[src][data-src]")].map((one) => [one.dataset.src, one]));
  });
  document.addEventListener("htmx:afterSwap", () => {
    const live = document.getElementById("live");
    if (!live) return;
    const now = [...live.querySelectorAll("details")];
    if (now.length === open.length) now.forEach((one, index) => { one.open = open[index]; });
    for (const one of live.querySelectorAll("img[data-src]:not([src])")) {
      const had = drawn.get(one.dataset.src);
      if (had) { drawn.delete(one.dataset.src); one.replaceWith(had); }
    }
    localise(document);
    looked(document);
  });
  // While somebody reads, marks or types in what would be replaced, it waits.
  document.addEventListener("htmx:beforeRequest", (event) => {
    const busy = event.target.contains(document.activeElement) && document.activeElement.matches("input, select, summary, button");
    const marked = String(window.getSelection());
    if (event.target.id === "live" && (busy || marked || document.querySelector("dialog[open]"))) event.preventDefault();
  });

  // Questions before anything is set going.
  const ask = document.getElementById("ask");
  let asking = null;
  document.addEventListener("submit", (event) => {
    const form = event.target;
    if (!form.dataset.ask || form.dataset.sure) return;
    event.preventDefault();
    asking = form;
    document.getElementById("ask-text").textContent = form.dataset.ask;
    ask.showModal();
  });
  ask.addEventListener("click", (event) => {
    const value = event.target.value;
    if (!value) return;
    ask.close();
    if (value === "yes" && asking) { asking.dataset.sure = "yes"; asking.requestSubmit(); }
    asking = null;
  });

  // The menu of a small screen.
  const menu = document.querySelector(".menu");
  menu.addEventListener("click", () => menu.setAttribute("aria-expanded", String(document.querySelector(".side").classList.toggle("open"))));

  // Keys: two letters go to a page, / searches, ? helps.
  let before = "", pressed = 0;
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.target.matches("input, select, textarea") || ask.open) return;
    const recent = Date.now() - pressed < 1500 ? before : "";
    before = event.key; pressed = Date.now();
    const keys = recent === "g" ? "g " + event.key : event.key;
    const link = document.querySelector(`[data-keys="${CSS.escape(keys)}"]`);
    const field = event.key === "/" && document.querySelector('[data-focus="/"]');
    if (field) { event.preventDefault(); field.focus(); field.select(); }
    else if (link) { event.preventDefault(); window.location.assign(link.href); }
  });

  // A file that is dropped is explained: it goes to this node only, and nothing of it is kept.
  const drop = document.getElementById("drop");
  if (drop) {
    const answer = document.getElementById("answer"), picker = document.getElementById("drop-file");
    const explain = async (file) => {
      if (!file) return;
      if (file.size > Number(drop.dataset.largest)) { answer.textContent = drop.dataset.tooLarge; return; }
      answer.textContent = drop.dataset.busy;
      try {
        const reply = await fetch(drop.dataset.to, { method: "POST", body: file, headers: { "Content-Type": "application/dicom", "X-CSRF-Token": csrf, "HX-Request": "true" } });
        const made = new DOMParser().parseFromString(await reply.text(), "text/html");
        const found = made.querySelector(reply.ok ? ".answer" : "main");
        answer.replaceChildren(...(found ? [found] : [drop.dataset.failed]));
      } catch { answer.textContent = drop.dataset.failed; }
    };
    picker.addEventListener("change", () => { explain(picker.files[0]); picker.value = ""; });
    for (const kind of ["dragenter", "dragover"]) drop.addEventListener(kind, (event) => { event.preventDefault(); drop.classList.add("over"); });
    for (const kind of ["dragleave", "drop"]) drop.addEventListener(kind, (event) => { event.preventDefault(); drop.classList.remove("over"); });
    drop.addEventListener("drop", (event) => explain(event.dataTransfer.files[0]));
  }
})();
