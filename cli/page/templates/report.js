"use strict";
// Works on what is in the page already: nothing that a model or a row said is ever parsed again as HTML.
(() => {
  const byId = (id) => document.getElementById(id);
  const STEP = 25;

  function rowsTable() {
    const table = byId("table");
    if (!table) return;
    const rows = [...table.tBodies];
    const given = new Map(rows.map((row, place) => [row, place]));
    const find = byId("find");
    const words = new WeakMap();
    let limit = STEP;
    let order = { key: null, down: false };

    const textOf = (row) => {
      if (!words.has(row)) words.set(row, row.textContent.toLowerCase());
      return words.get(row);
    };
    const which = () => document.querySelector("input[name=which]:checked").value;

    function show() {
      const wanted = which();
      const needle = find.value.trim().toLowerCase();
      let fitting = 0;
      for (const row of table.tBodies) {
        const { outcome, move } = row.dataset;
        const fits = (!wanted || wanted === outcome || wanted === move) && (!needle || textOf(row).includes(needle));
        if (fits) fitting += 1;
        row.hidden = !fits || fitting > limit;
      }
      const seen = Math.min(fitting, limit);
      const all = fitting === rows.length ? "" : ` of ${rows.length.toLocaleString("en")}`;
      byId("shown").textContent = seen < fitting
        ? `${seen.toLocaleString("en")} shown of ${fitting.toLocaleString("en")}`
        : `${fitting.toLocaleString("en")}${all} ${rows.length === 1 ? "row" : "rows"}`;
      byId("none").hidden = fitting > 0;
      byId("more").hidden = seen >= fitting;
      byId("more").textContent = `Show ${Math.min(fitting - seen, STEP * 4).toLocaleString("en")} more`;
    }

    function value(row, key) {
      const text = row.dataset[key];
      if (key === "outcome") return ["failed", "wrong", "partly", "right", "unjudged"].indexOf(text);
      if (key === "split") return text;
      return text === "" ? null : Number(text);
    }

    function sort(key, down) {
      order = { key, down };
      const sorted = [...rows].sort((one, other) => {
        const a = value(one, key);
        const b = value(other, key);
        if (a === b) return given.get(one) - given.get(other);
        if (a === null || b === null) return a === null ? 1 : -1;
        return (a < b ? -1 : 1) * (down ? -1 : 1);
      });
      table.append(...sorted);
      for (const head of table.tHead.querySelectorAll("[data-sort]")) {
        head.setAttribute("aria-sort", head.dataset.sort !== key ? "none" : down ? "descending" : "ascending");
      }
      limit = STEP;
      show();
    }

    function toggle(row, open) {
      const button = row.querySelector(".open");
      const wanted = open ?? button.getAttribute("aria-expanded") !== "true";
      button.setAttribute("aria-expanded", String(wanted));
      row.querySelector(".trace").hidden = !wanted;
      return button;
    }

    function fromAddress() {
      if (!location.hash.startsWith("#row=")) return;
      let id;
      try { id = decodeURIComponent(location.hash.slice(5)); } catch { return; }
      const row = rows.find((one) => one.dataset.id === id);
      if (!row) return;
      clear();
      row.hidden = false;
      const button = toggle(row, true);
      button.focus({ preventScroll: true });
      row.scrollIntoView({ block: "center" });
    }

    function clear() {
      find.value = "";
      document.querySelector("input[name=which][value='']").checked = true;
      limit = STEP;
      show();
    }

    for (const head of table.tHead.querySelectorAll("[data-sort]")) {
      const button = document.createElement("button");
      button.type = "button";
      button.textContent = head.textContent;
      head.replaceChildren(button);
      head.setAttribute("aria-sort", "none");
      button.addEventListener("click", () => {
        const key = head.dataset.sort;
        sort(key, order.key === key && !order.down);
      });
    }
    table.addEventListener("click", (event) => {
      const line = event.target.closest(".line");
      if (!line || (!event.target.closest(".open") && String(getSelection()))) return;
      const row = line.parentElement;
      const open = toggle(row).getAttribute("aria-expanded") === "true";
      history.replaceState(null, "", open ? `#row=${encodeURIComponent(row.dataset.id)}` : "#rows");
    });
    find.addEventListener("input", () => { limit = STEP; show(); });
    for (const radio of document.querySelectorAll("input[name=which]")) {
      radio.addEventListener("change", () => { limit = STEP; show(); });
    }
    byId("more").addEventListener("click", () => { limit += STEP * 4; show(); });
    byId("clear").addEventListener("click", () => { clear(); find.focus(); });
    addEventListener("hashchange", fromAddress);
    show();
    fromAddress();
  }

  function tips() {
    const tip = document.createElement("div");
    tip.id = "tip";
    tip.hidden = true;
    tip.setAttribute("aria-hidden", "true");
    document.body.append(tip);
    for (const plot of document.querySelectorAll(".plot")) {
      plot.addEventListener("pointermove", (event) => {
        const mark = event.target.closest("[aria-roledescription][aria-label]");
        tip.hidden = !mark || !plot.contains(mark) || !/mark$|point$|bar$/.test(mark.getAttribute("aria-roledescription"));
        if (tip.hidden) return;
        tip.textContent = mark.getAttribute("aria-label");
        tip.style.left = `${Math.min(event.clientX + 14, innerWidth - tip.offsetWidth - 8)}px`;
        tip.style.top = `${Math.max(event.clientY - tip.offsetHeight - 10, 8)}px`;
      });
      plot.addEventListener("pointerleave", () => { tip.hidden = true; });
    }
  }

  function demos() {
    const list = document.querySelector(".demos");
    const extra = list ? list.querySelectorAll(".extra").length : 0;
    if (!extra) return;
    const line = document.createElement("p");
    line.className = "more";
    const button = document.createElement("button");
    button.type = "button";
    button.textContent = `Show ${extra} more`;
    line.append(button);
    list.classList.add("folded");
    list.after(line);
    button.addEventListener("click", () => {
      list.classList.remove("folded");
      line.remove();
      list.querySelector(".extra").focus?.();
    });
  }

  rowsTable();
  tips();
  demos();
})();
