"use strict";
(() => {
  const light = JSON.parse(document.getElementById("light").textContent);
  const scale = 3;

  // The figure with the colours of light paper, as a document of its own.
  const svgOf = (figure) => {
    const text = new XMLSerializer().serializeToString(figure.querySelector(".scroll svg"));
    return text.replace(/var\(--([\w-]+)\)/g, (whole, name) => light[name] || whole);
  };
  const pngOf = (figure) => new Promise((resolve, reject) => {
    const image = new Image();
    image.onload = () => {
      const canvas = document.createElement("canvas");
      canvas.width = image.width * scale;
      canvas.height = image.height * scale;
      canvas.getContext("2d").drawImage(image, 0, 0, canvas.width, canvas.height);
      canvas.toBlob((blob) => blob ? resolve(blob) : reject(new Error("no picture")), "image/png");
    };
    image.onerror = reject;
    image.src = "data:image/svg+xml;charset=utf-8," + encodeURIComponent(svgOf(figure));
  });
  const csvOf = (figure) => figure.querySelector("pre.csv").textContent;
  const content = {
    png: pngOf,
    svg: async (figure) => new Blob([svgOf(figure)], { type: "image/svg+xml" }),
    csv: async (figure) => new Blob([csvOf(figure)], { type: "text/csv" }),
  };
  const save = async (figure, kind) => {
    const link = document.createElement("a");
    link.href = URL.createObjectURL(await content[kind](figure));
    link.download = figure.dataset.name + "." + kind;
    link.click();
    URL.revokeObjectURL(link.href);
  };
  const copy = async (figure, kind) => {
    if (kind === "png") {
      await navigator.clipboard.write([new ClipboardItem({ "image/png": pngOf(figure) })]);
    } else {
      await navigator.clipboard.writeText(kind === "svg" ? svgOf(figure) : csvOf(figure));
    }
  };
  const said = async (button, work, word) => {
    const before = button.textContent;
    button.textContent = await work().then(() => word, () => "not possible here");
    setTimeout(() => { button.textContent = before; }, 1500);
  };
  for (const tools of document.querySelectorAll(".tools")) {
    const figure = tools.closest("figure");
    tools.hidden = false;
    for (const button of tools.querySelectorAll("button")) {
      const { copy: copied, save: saved } = button.dataset;
      button.addEventListener("click", () => copied
        ? said(button, () => copy(figure, copied), "copied")
        : said(button, () => save(figure, saved), "saved"));
    }
  }
  for (const button of document.querySelectorAll("button[data-text]")) {
    button.hidden = false;
    const text = document.getElementById(button.dataset.text);
    button.addEventListener("click", () =>
      said(button, () => navigator.clipboard.writeText(text.textContent), "copied"));
  }
})();
