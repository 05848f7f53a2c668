"use strict";
// Without this script everything can be read, opened and linked to; it adds filters, sorting, copying and deep links.
(() => {
  const all = (selector, root = document) => [...root.querySelectorAll(selector)];
  const one = (selector, root = document) => root.querySelector(selector);
  const ledger = one("#ledger"), form = one(".filters"), said = one("#said");
  const claims = all("tbody.claim", ledger), heads = [...ledger.tHead.rows[0].cells];
  const words = new Map(claims.map((claim) => [claim, claim.textContent.toLowerCase()]));
  const fields = ["family", "subject", "verdict", "q"];
  let sorted = { column: -1, down: false };
  document.documentElement.classList.add("js");

  // -- filters ------------------------------------------------------------------------------------------------------

  function filter() {
    const asked = Object.fromEntries(fields.map((name) => [name, form.elements[name].value.trim()]));
    const needles = asked.q.toLowerCase().split(/\s+/).filter(Boolean);
    let shown = 0;
    for (const claim of claims) {
      const { family, verdict, subjects } = claim.dataset;
      const fits = (!asked.family || family === asked.family) && (!asked.verdict || verdict === asked.verdict)
        && (!asked.subject || subjects.split(" ").includes(asked.subject))
        && needles.every((needle) => words.get(claim).includes(needle));
      claim.hidden = !fits;
      shown += fits;
      for (const row of all("[data-subject]", claim)) row.hidden = Boolean(asked.subject) && row.dataset.subject !== asked.subject;
    }
    one(".shown").textContent = `${shown} of ${claims.length} claims shown`;
    one(".nothing").hidden = shown > 0;
  }

  function clear() {
    for (const name of fields) form.elements[name].value = "";
    filter();
  }

  function remember() {
    const state = new URLSearchParams();
    for (const name of fields) if (form.elements[name].value) state.set(name, form.elements[name].value);
    if (sorted.column >= 0) state.set("sort", `${sorted.column}${sorted.down ? "d" : "u"}`);
    history.replaceState(null, "", state.size ? `#${state}` : location.pathname + location.search);
  }

  // -- sorting ------------------------------------------------------------------------------------------------------

  function key(claim, column) {
    const cell = one("tr.line", claim).cells[column];
    return cell.dataset.key ?? cell.textContent.trim();
  }

  function sort(column, down) {
    sorted = { column, down };
    const numeric = column >= 0 && heads[column].dataset.sort === "number";
    const order = [...claims];
    if (column >= 0) {
      order.sort((a, b) => {
        const [x, y] = [key(a, column), key(b, column)];
        if ((x === "") !== (y === "")) return x === "" ? 1 : -1; // nothing measured: last, either way
        const less = numeric ? Number(x) - Number(y) : x.localeCompare(y, "en");
        return (down ? -less : less) || claims.indexOf(a) - claims.indexOf(b);
      });
    }
    ledger.append(...order);
    heads.forEach((head, i) => {
      if (i === column) head.setAttribute("aria-sort", down ? "descending" : "ascending");
      else head.removeAttribute("aria-sort");
    });
  }

  heads.forEach((head, column) => {
    const button = document.createElement("button");
    button.type = "button";
    button.append(...head.childNodes);
    head.append(button);
    button.addEventListener("click", () => {
      if (sorted.column !== column) sort(column, false);
      else if (!sorted.down) sort(column, true);
      else sort(-1, false);
      remember();
    });
  });

  // -- deep links ---------------------------------------------------------------------------------------------------

  function follow() {
    const hash = decodeURIComponent(location.hash.slice(1));
    const target = hash && document.getElementById(hash);
    if (target) {
      const claim = target.closest("tbody.claim");
      if (claim && (claim.hidden || target.hidden)) clear();
      for (let each = target; each; each = each.parentElement) if (each.tagName === "DETAILS") each.open = true;
      target.scrollIntoView();
      if (target.tagName !== "DETAILS") target.focus({ preventScroll: true });
    } else if (hash.includes("=")) {
      const state = new URLSearchParams(location.hash.slice(1));
      for (const name of fields) form.elements[name].value = state.get(name) ?? "";
      const [, column, way] = /^(\d)([ud])$/.exec(state.get("sort") ?? "") ?? [];
      sort(column < heads.length ? Number(column) : -1, way === "d");
      filter();
    }
  }

  document.addEventListener("click", (event) => {
    const link = event.target.closest("a[data-filter]");
    if (link) {
      event.preventDefault();
      location.hash = link.dataset.filter;
      one("#claims").scrollIntoView();
      one("#claims").focus({ preventScroll: true });
    }
    const button = event.target.closest("button.copy");
    if (button) copy(button);
  });

  // -- copying ------------------------------------------------------------------------------------------------------

  async function copy(button) {
    const line = button.previousElementSibling;
    let done = false;
    try {
      await navigator.clipboard.writeText(line.textContent);
      done = true;
    } catch { // not there, or not allowed, for a page from a file
      getSelection().selectAllChildren(line);
      done = document.execCommand("copy");
    }
    button.textContent = done ? "Copied" : "Selected";
    said.textContent = done ? `copied: ${line.textContent}` : "the line is selected; copy it with the keyboard";
    setTimeout(() => { button.textContent = "Copy"; said.textContent = ""; }, 2500);
  }

  // -- opening all claims: to print them, or to search the page ------------------------------------------------------

  const opener = one(".open-all");
  opener.addEventListener("click", () => {
    const open = opener.getAttribute("aria-pressed") !== "true";
    for (const claim of claims) if (!claim.hidden || !open) one("details", claim).open = open;
    opener.setAttribute("aria-pressed", String(open));
    opener.textContent = open ? "Close all" : "Open all";
  });

  form.hidden = false;
  form.addEventListener("input", () => { filter(); remember(); });
  form.addEventListener("reset", () => setTimeout(() => { sort(-1, false); filter(); remember(); }));
  form.addEventListener("submit", (event) => event.preventDefault());
  addEventListener("hashchange", follow);
  filter();
  follow();
})();
