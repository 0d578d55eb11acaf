"use strict";

// Tables sort by the column whose head is pressed: upwards, downwards, and then as they were written. Totals stay last.

const UNITS = { "": 1, "%": 1, s: 1, min: 60, h: 3600, B: 1, kB: 1e3, MB: 1e6 };
const NEXT = { null: "ascending", ascending: "descending", descending: null };
const words = new Intl.Collator("en", { numeric: true });

// The number in a cell, in its smallest unit: "1,620", "−0.3", "83.3 ± 1.0", "67–73", "2 min 14 s", "person-3: 71.2".
// NaN where a cell holds anything else.
function number(text) {
  const bare = text
    .replace(/^.*: /, "")
    .replace(/\s*[±–(].*$/, "")
    .replace(/−/g, "-")
    .replace(/(\d),(?=\d{3})/g, "$1");
  const part = /([+-]?\d+(?:\.\d+)?(?:e[+-]?\d+)?)\s*(%|[a-zA-Z]*)\s*/gy;
  let sum = NaN;
  while (part.lastIndex < bare.length) {
    const found = part.exec(bare);
    const alone = found && found[0].length === bare.length;
    if (!found || !Object.hasOwn(UNITS, found[2]) || !(found[2] || alone)) return NaN;
    sum = (sum || 0) + found[1] * UNITS[found[2]];
  }
  return sum;
}

// Rows in the order of a column; cells without a value ("–") come last either way, and equal ones keep their order.
function sorted(rows, column, sign) {
  const keyed = rows.map((row) => ({ row, text: row.cells[column].textContent.trim() }));
  const empty = keyed.filter(({ text }) => text === "" || text === "–");
  const full = keyed.filter((each) => !empty.includes(each)).map((each) => ({ ...each, value: number(each.text) }));
  const numeric = full.every(({ value }) => !Number.isNaN(value));
  full.sort((a, b) => sign * (numeric ? a.value - b.value : words.compare(a.text, b.text)));
  return [...full, ...empty].map(({ row }) => row);
}

for (const table of document.querySelectorAll("table")) {
  const body = table.tBodies[0];
  const totals = body.querySelectorAll(".total");
  const written = [...body.rows].filter((row) => !row.classList.contains("total"));
  if (written.length < 2) continue;
  const heads = [...table.tHead.rows[0].cells];
  heads.forEach((head, column) => {
    const button = document.createElement("button");
    button.type = "button";
    button.append(...head.childNodes);
    head.append(button);
    button.addEventListener("click", () => {
      const order = NEXT[head.getAttribute("aria-sort")];
      for (const other of heads) other.removeAttribute("aria-sort");
      if (order) head.setAttribute("aria-sort", order);
      body.append(...(order ? sorted(written, column, order === "ascending" ? 1 : -1) : written), ...totals);
    });
  });
}
