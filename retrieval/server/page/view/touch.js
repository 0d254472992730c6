// Touch in the grid: a long press selects, and dragging from there extends.

const PRESS = 350; // milliseconds
const SLACK = 10; // pixels that a finger may move meanwhile

/** Select by long press; a tap opens, as a click does. */
export function listenForTouch({ grid, selection }) {
  let press = null;
  const stop = () => { clearTimeout(press?.timer); press = null; };
  grid.canvas.addEventListener("touchstart", (event) => {
    const tile = event.target.closest(".tile"), touch = event.touches[0];
    stop();
    if (!tile || event.touches.length > 1) return;
    press = { x: touch.clientX, y: touch.clientY, id: tile.item.id, isLong: false };
    press.timer = setTimeout(() => {
      press.isLong = grid.suppressClick = true;
      selection.toggle(press.id);
      navigator.vibrate?.(10);
    }, PRESS);
  }, { passive: true });
  grid.canvas.addEventListener("touchmove", (event) => {
    if (!press) return;
    const touch = event.touches[0];
    if (!press.isLong) {
      if (Math.hypot(touch.clientX - press.x, touch.clientY - press.y) > SLACK) stop();
      return;
    }
    event.preventDefault();
    const tile = document.elementFromPoint(touch.clientX, touch.clientY)?.closest(".tile");
    if (tile && !selection.has(tile.item.id)) selection.add([tile.item.id]);
  }, { passive: false });
  for (const name of ["touchend", "touchcancel"]) {
    grid.canvas.addEventListener(name, () => { stop(); setTimeout(() => (grid.suppressClick = false), 60); });
  }
  grid.canvas.addEventListener("contextmenu", (event) => { if (press?.isLong) event.preventDefault(); });
}
