"""The one script of the page: it sorts tables by a click on a column's title, and asks for nothing.

Without scripts the tables stand in the order that they were written in.
"""

import base64
import hashlib

SCRIPT = """
for (const table of document.querySelectorAll("table.sortable")) {
  const body = table.tBodies[0];
  const value = (row, n) => {
    const text = row.cells[n].textContent;
    const digits = text.replace(/[\\s<>,]/g, "").replace("\\u2212", "-");
    const number = parseFloat(digits.replace("\\u221e", "Infinity"));
    return n && !isNaN(number) ? number : text;
  };
  [...table.tHead.rows[0].cells].forEach((head, n) => {
    const button = document.createElement("button");
    button.textContent = head.textContent;
    head.replaceChildren(button);
    button.onclick = () => {
      const up = head.getAttribute("aria-sort") !== "ascending";
      for (const other of table.tHead.rows[0].cells) other.removeAttribute("aria-sort");
      head.setAttribute("aria-sort", up ? "ascending" : "descending");
      const rows = [...body.rows].map((row) => [value(row, n), row]);
      rows.sort(([a], [b]) => {
        if (typeof a !== typeof b) return typeof a === "number" ? -1 : 1;
        return (up ? 1 : -1) * (typeof a === "number" ? a - b : a.localeCompare(b));
      });
      body.append(...rows.map(([, row]) => row));
    };
  });
}
"""


def policy() -> str:
    """Return the content security policy: no request at all, and no other script than this one."""
    digest = base64.b64encode(hashlib.sha256(SCRIPT.encode()).digest()).decode()
    return (
        f"default-src 'none'; style-src 'unsafe-inline'; script-src 'sha256-{digest}'; "
        "base-uri 'none'; form-action 'none'"
    )
