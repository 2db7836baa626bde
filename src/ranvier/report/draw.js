"use strict";
(function () {
  const specs = JSON.parse(document.getElementById("specs").textContent);
  const dark = window.matchMedia("(prefers-color-scheme: dark)");
  const still = window.matchMedia("(prefers-reduced-motion: reduce)");

  function theme(print) {
    const style = getComputedStyle(document.documentElement);
    const ink = print ? "#111111" : style.getPropertyValue("--ink").trim();
    const line = print ? "#cccccc" : style.getPropertyValue("--line").trim();
    const axis = { gridcolor: line, zerolinecolor: line, linecolor: line };
    return { font: { color: ink, family: "inherit", size: 13 }, axis: axis };
  }

  function layout(given, print) {
    const look = theme(print);
    const merged = Object.assign(
      {
        paper_bgcolor: "rgba(0,0,0,0)",
        plot_bgcolor: "rgba(0,0,0,0)",
        margin: { l: 60, r: 16, t: 40, b: 48 },
        height: 320,
        legend: { orientation: "h", x: 0, y: 1.02, yanchor: "bottom" },
        font: look.font,
        transition: { duration: still.matches ? 0 : 100 },
      },
      given
    );
    for (const name of ["xaxis", "yaxis", "xaxis2", "yaxis2", "xaxis3", "xaxis4"]) {
      if (merged[name] || name.length === 5) {
        merged[name] = Object.assign({ automargin: true }, look.axis, merged[name]);
      }
    }
    return merged;
  }

  function draw(print) {
    const all = Array.from(document.querySelectorAll("[data-figure]"));
    const made = all.map(function (place) {
      const spec = specs[place.dataset.figure];
      const options = { responsive: true, displayModeBar: false };
      return Plotly.react(place, spec.data, layout(spec.layout, print), options);
    });
    return Promise.all(made).then(function () {
      document.documentElement.dataset.drawn = String(all.length);
    });
  }

  draw(false);
  dark.addEventListener("change", function () { draw(false); });
  window.addEventListener("beforeprint", function () { draw(true); });
  window.addEventListener("afterprint", function () { draw(false); });
  document.querySelectorAll("details").forEach(function (part) {
    part.addEventListener("toggle", function () {
      part.querySelectorAll("[data-figure]").forEach(function (place) { Plotly.Plots.resize(place); });
    });
  });
})();
