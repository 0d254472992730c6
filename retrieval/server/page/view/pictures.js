// Pictures as a query: dropped anywhere on the page, or pasted.

import { $ } from "./dom.js";

const isImage = (file) => file?.type.startsWith("image/");
const hasFiles = (event) => [...(event.dataTransfer?.types ?? [])].includes("Files");

/** Call `use` with each picture that is dropped or pasted. */
export function listenForPictures(use) {
  let depth = 0;
  const outline = (isOver) => $(".box").classList.toggle("dropping", isOver);
  addEventListener("dragenter", (event) => { if (hasFiles(event)) { depth++; outline(true); } });
  addEventListener("dragleave", (event) => { if (hasFiles(event) && --depth <= 0) { depth = 0; outline(false); } });
  addEventListener("dragover", (event) => { if (hasFiles(event)) event.preventDefault(); });
  addEventListener("drop", (event) => {
    if (!hasFiles(event)) return;
    event.preventDefault();
    depth = 0;
    outline(false);
    const file = [...event.dataTransfer.files].find(isImage);
    if (file) use(file);
  });
  addEventListener("paste", (event) => {
    const file = [...(event.clipboardData?.files ?? [])].find(isImage);
    if (!file) return;
    event.preventDefault();
    use(file);
  });
}
