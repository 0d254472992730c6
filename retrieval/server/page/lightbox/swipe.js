// Touch in the lightbox: sideways for a neighbor, down to close, up for the panel, pinch and double tap to zoom.

const SYSTEM_EDGE = 24; // pixels at the left that belong to the system's back gesture
const FAR = 60; // pixels of a swipe

/** Listen on the stage and the panel's handle; returns a function that stops. */
export function listenForSwipes(lightbox) {
  const { pic, side } = lightbox;
  let begun = null, pinch = null, lastTap = 0;
  const distance = (touches) => Math.hypot(touches[0].clientX - touches[1].clientX, touches[0].clientY - touches[1].clientY);

  const start = (event) => {
    if (event.target.closest("audio,button,.paper-stage")) return;
    if (event.touches.length === 2) { pinch = distance(event.touches); begun = null; return; }
    const { clientX: x, clientY: y } = event.touches[0];
    begun = x < SYSTEM_EDGE ? null : { x, y, lastX: x, lastY: y };
  };
  const move = (event) => {
    const { view } = lightbox;
    if (pinch && event.touches.length === 2) {
      const now = distance(event.touches), [a, b] = event.touches;
      view?.zoom?.(now / pinch, (a.clientX + b.clientX) / 2, (a.clientY + b.clientY) / 2);
      pinch = now;
    } else if (begun && view?.isZoomed?.()) {
      const { clientX, clientY } = event.touches[0];
      view.pan(clientX - begun.lastX, clientY - begun.lastY);
      Object.assign(begun, { lastX: clientX, lastY: clientY, isPan: true });
    }
  };
  const end = (event) => {
    if (event.touches.length) return;
    pinch = null;
    if (!begun) return;
    const { clientX, clientY } = event.changedTouches[0], dx = clientX - begun.x, dy = clientY - begun.y, { isPan } = begun;
    begun = null;
    if (isPan) return;
    if (Math.hypot(dx, dy) < 10) {
      const now = Date.now();
      if (now - lastTap < 300 && lightbox.view?.zoom) lightbox.view.isZoomed() ? lightbox.view.reset() : lightbox.view.zoom(2.5, clientX, clientY);
      lastTap = now;
    } else if (Math.abs(dx) > FAR && Math.abs(dx) > Math.abs(dy)) lightbox.step(dx < 0 ? 1 : -1);
    else if (dy > FAR) lightbox.close();
    else if (dy < -FAR) lightbox.setSheet(lightbox.sheet === "low" ? "half" : "full");
  };
  pic.addEventListener("touchstart", start, { passive: true });
  pic.addEventListener("touchmove", move, { passive: true });
  pic.addEventListener("touchend", end);

  let from = null;
  const sheetStart = (event) => { if (event.target.closest(".handle") || side.scrollTop <= 0) from = event.touches[0].clientY; };
  const sheetEnd = (event) => {
    if (from == null || innerWidth >= 768) return;
    const dy = event.changedTouches[0].clientY - from;
    from = null;
    if (dy > FAR) lightbox.setSheet(lightbox.sheet === "full" ? "half" : "low");
    else if (dy < -FAR && lightbox.sheet !== "full") lightbox.setSheet(lightbox.sheet === "low" ? "half" : "full");
  };
  side.addEventListener("touchstart", sheetStart, { passive: true });
  side.addEventListener("touchend", sheetEnd);
  return () => null;
}
