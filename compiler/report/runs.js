"use strict";
/* Hides the rows in which runs do not differ. */
const different = document.getElementById("different");
document.getElementById("filter").hidden = document.querySelectorAll("thead").length === 0;
different.addEventListener("change", () => {
  for (const row of document.querySelectorAll("tbody tr:not(.differs)")) row.hidden = different.checked;
});
